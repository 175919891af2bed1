// `npm run coverage`: how much of the policy language and the router their own tests run, read from the engine's report.
// Exit code 1 when a test fails or fewer than LINES_MIN percent of the lines are run.
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';

const LINES_MIN = 90;
const FOLDERS = ['src/policy', 'src/router'];

const { status } = spawnSync(
  process.execPath,
  [
    '--test',
    '--experimental-test-coverage',
    `--test-coverage-lines=${LINES_MIN}`,
    ...FOLDERS.map((folder) => `--test-coverage-include=${folder}/**/*.ts`),
    '--test-coverage-exclude=**/*.test.ts',
    '--test-timeout=240000',
    ...FOLDERS.flatMap((folder) => globSync(`${folder}/**/*.test.ts`)).toSorted(),
  ],
  { stdio: 'inherit' },
);
process.exitCode = status ?? 1;
