// Opens a secret that a role cannot do without: one that is missing at the start refuses the start.
import { environment } from '../config/environment.ts';
import { openSecret, type Secret } from '../config/secret.ts';
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';

/** Throws `validation_failed` with `details.reason` `configuration`; the message names the setting and the reference. */
export function requiredSecret(setting: string, ref: string, clock: Clock): Secret {
  const secret = openSecret(ref, { env: environment, clock });
  if (secret() !== undefined) return secret;
  throw new BeamlineError('validation_failed', `${setting} refers to ${ref}, which is missing or empty`, {
    details: { reason: 'configuration' },
  });
}
