// `beamline gateway|router|worker|ledger`: one role in this process, on NATS.
import { defineCommand } from 'citty';
import { type RoleName, runRole } from '../app/run.ts';
import { BeamlineError } from '../core/errors.ts';
import { EXIT } from './exit.ts';
import { openLogSink } from './log-sink.ts';
import { PRODUCT_VERSION } from './product.ts';
import { readRoleConfig, roleArgs } from './role-config.ts';
import { untilSignal } from './signal.ts';

const DESCRIPTIONS: Readonly<Record<RoleName, string>> = {
  gateway: 'Serve HTTP: identity, limits, streams',
  router: 'Decide by policy who serves a request, and own its attempts',
  worker: 'Execute: call model providers',
  ledger: 'Count what was used, once',
};

export const roleCommand = (name: RoleName) =>
  defineCommand({
    meta: { name, description: DESCRIPTIONS[name] },
    args: {
      ...roleArgs,
      host: { type: 'string', description: `Address to bind (${name}.http.host)` },
      port: { type: 'string', description: `Port to bind (${name}.http.port); 0 takes a free one` },
    },
    async run({ args }) {
      const flags = { [`${name}.http.host`]: args.host, [`${name}.http.port`]: args.port };
      const effective = readRoleConfig(args, { flags });
      if (effective === undefined) return EXIT.ok;
      const { config } = effective;
      if (config.nats.url === undefined) {
        throw new BeamlineError(
          'validation_failed',
          `nats.url is required: ${name} alone speaks over NATS (--nats URL)`,
          {
            details: { reason: 'configuration' },
          },
        );
      }
      const hurry = new AbortController();
      const sink = openLogSink(process.stdout);
      const role = await runRole(name, config, { sink, version: PRODUCT_VERSION, hurry: hurry.signal });
      {
        await using running = role;
        void running;
        await untilSignal(hurry);
      }
      if (hurry.signal.aborted) return EXIT.failed;
      return (role.abandoned ?? 0) > 0 ? EXIT.abandoned : EXIT.ok;
    },
  });
