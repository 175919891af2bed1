// `npm run faults:broker`: jobs and calls while a cluster fails; one line for each fault, exit code 0 if nothing was lost,
// doubled or left without an answer. With `--long` each fault three times.
/* eslint-disable no-console -- a command of its own */
import { parseArgs } from 'node:util';
import { BROKER_FAULTS, type BrokerFault } from './broker/broker-faults.ts';
import { runBroker } from './broker/broker-run.ts';

const ALL = Object.keys(BROKER_FAULTS) as BrokerFault[];
const { values } = parseArgs({
  options: {
    long: { type: 'boolean', default: false },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    faults: { type: 'string', default: ALL.join(',') },
  },
});

const isFault = (word: string): word is BrokerFault => word in BROKER_FAULTS;
const asked = values.faults.split(',');
if (!asked.every(isFault)) throw new RangeError(`--faults must be of ${ALL.join(', ')}`);
const seed = Number(values.seed);
console.error(`seed ${seed}`);
const run = await runBroker({ faults: values.long ? [...asked, ...asked, ...asked] : asked, seed, drainMs: 120_000 });
for (const { fault, ms } of run.healed) console.log(`${fault.padEnd(18)} healed after ${ms} ms`);
const tally = (words: readonly string[]): string =>
  [...Map.groupBy(words, (word) => word)].map(([word, those]) => `${word} ${those.length}`).join(', ');
console.log(`jobs accepted      ${run.accepted}, ordered again ${JSON.stringify(run.again)}`);
console.log(`jobs ended         ${tally(run.ended.map(({ status, code }) => `${status} ${code ?? ''}`.trim()))}`);
console.log(`calls answered     ${tally(run.chats.map(({ status, code }) => `${status} ${code ?? ''}`.trim()))}`);
console.log(`slowest call       ${Math.max(...run.chats.map(({ ms }) => ms))} ms`);
for (const wrong of run.wrong) console.log(`WRONG ${wrong}`);
process.exitCode = run.wrong.length === 0 ? 0 : 1;
