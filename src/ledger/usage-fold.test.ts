import { testFold } from './conformance.ts';
import { openLedgerStore } from './ledger-fixture.ts';

testFold('the fold on SQLite', () => openLedgerStore());
