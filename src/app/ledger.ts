// The ledger's wiring.
import type { Bus } from '../bus/bus.ts';
import type { Role } from '../core/role.ts';
import { startLedger } from '../ledger/ledger.ts';
import type { Ground } from './ground.ts';

export const openLedger = ({ telemetry }: Ground, bus: Bus): Promise<Role> => startLedger({ bus, telemetry });
