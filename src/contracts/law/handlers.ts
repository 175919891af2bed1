// The handlers of the modules (contracts 2): who may own or consume a subject. One that is not here is a slip or a plan
// that nobody reviewed.

export const HANDLERS: Readonly<Record<string, readonly string[]>> = {
  gateway: [
    'router_client',
    'admission',
    'admin_api',
    'stream_relay',
    'jobs',
    'reports',
    'dead_letters',
    'event_log',
    'event_streams',
  ],
  router: [
    'decide',
    'assigner',
    'results',
    'usage_emitter',
    'backpressure',
    'dead_letter',
    'admin',
    'jobs',
    'canceller',
    'attempts',
    'fleet',
    'extensions',
  ],
  worker: ['intake', 'reporter', 'streamer', 'dead_letter', 'extensions', 'providers'],
  ledger: ['usage_fold', 'reports', 'dead_letter'],
  cli: ['admin', 'reports', 'dead_letters'],
};

/** Services of others: they own nothing here and have no handlers that we know. */
const OUTSIDE: ReadonlySet<string> = new Set(['extension', 'provider']);

export const isHandler = (module: string, handler: string): boolean =>
  Object.hasOwn(HANDLERS, module) && (HANDLERS[module] ?? []).includes(handler);

/** A consumer is `<module>.<handler>`, or a service of others. */
export function isConsumer(name: string): boolean {
  const [party = '', handler, ...rest] = name.split('.');
  if (rest.length > 0) return false;
  return handler === undefined ? OUTSIDE.has(party) : isHandler(party, handler);
}
