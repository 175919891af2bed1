// What can happen to a cluster of three servers, each as one function that resolves when nothing is broken any more.
import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsCluster, NatsNode } from '../../nats-cluster.ts';

/** The stream that jobs live in. */
const STREAM = 'KV_beamline_jobs';

const others = ({ nodes }: NatsCluster, of: NatsNode): readonly NatsNode[] => nodes.filter((node) => node !== of);

export const BROKER_FAULTS = {
  async leader_killed(cluster) {
    const leader = await cluster.leaderOf(STREAM);
    await leader.kill();
    await cluster.leaderOf(STREAM);
    await leader.restart();
  },
  async leader_stopped(cluster) {
    const leader = await cluster.leaderOf(STREAM);
    leader.freeze();
    await sleep(8_000);
    leader.thaw();
  },
  async two_killed(cluster) {
    const two = others(cluster, await cluster.leaderOf(STREAM))
      .slice(0, 1)
      .concat(await cluster.leaderOf(STREAM));
    await Promise.all(two.map((node) => node.kill()));
    await sleep(8_000);
    await Promise.all(two.map((node) => node.restart()));
  },
  async all_killed(cluster) {
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    await sleep(2_000);
    await Promise.all(cluster.nodes.map((node) => node.restart()));
  },
  async rolling_restart(cluster) {
    for (const node of cluster.nodes) {
      // eslint-disable-next-line no-await-in-loop -- one server after the other
      if ((await cluster.leaderOf(STREAM)) === node) await cluster.stepDown(STREAM);
      // eslint-disable-next-line no-await-in-loop -- as above
      await node.terminate();
      // eslint-disable-next-line no-await-in-loop -- as above
      await node.restart();
      // eslint-disable-next-line no-await-in-loop -- as above
      await cluster.inQuorum();
    }
  },
} as const satisfies Readonly<Record<string, (cluster: NatsCluster) => Promise<void>>>;

export type BrokerFault = keyof typeof BROKER_FAULTS;
