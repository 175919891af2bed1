// `beamline contracts docs`: writes what follows from the registry: AsyncAPI, permissions, TypeScript, tables, owners.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { defineCommand } from 'citty';
import { readMaterial } from './contracts-material.ts';
import { EXIT } from './exit.ts';
import { complain, print } from './print.ts';

export const contractsDocsCommand = defineCommand({
  meta: { name: 'docs', description: 'Write the files that are generated from the registry' },
  run() {
    const reading = readMaterial({ root: '.' });
    if (reading.kind === 'unreadable') {
      for (const fault of reading.faults) complain(fault);
      return EXIT.unreadable;
    }
    const { generated } = reading.material;
    for (const { path, text } of generated) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    const changed = generated.filter(({ text, found }) => text !== found);
    for (const { path } of changed) print(path);
    print(`${generated.length} files, ${changed.length} of them changed`);
    return EXIT.ok;
  },
});
