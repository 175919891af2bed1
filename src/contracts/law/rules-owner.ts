// Who answers for a subject: one module and handler, a team, and a test that shows it.
import { HANDLERS, isConsumer, isHandler } from './handlers.ts';
import { type Fault, type Material, placeOf, type Rule } from './material.ts';
import { OWNER_STATUSES, type OwnerEntry } from './registry-shape.ts';

const fault = (owner: OwnerEntry, at: number, key: string, message: string): Fault => ({
  subject: owner.subject,
  path: placeOf('ownership', at, key),
  message,
});

const forEach = (
  { registry }: Material,
  faultsOf: (owner: OwnerEntry, at: number) => readonly Fault[],
): readonly Fault[] => registry.ownership.flatMap(faultsOf);

function ownerFaults(material: Material): readonly Fault[] {
  const { subjects, ownership } = material.registry;
  const counted = subjects.flatMap(({ name }, at): readonly Fault[] => {
    const owners = ownership.filter(({ subject }) => subject === name).length;
    const message = owners === 0 ? 'has no owner' : `has ${owners} owners`;
    return owners === 1 ? [] : [{ subject: name, path: placeOf('subjects', at), message }];
  });
  const known = forEach(material, (owner, at) => [
    ...(isHandler(owner.module, owner.handler)
      ? []
      : [
          fault(
            owner,
            at,
            Object.hasOwn(HANDLERS, owner.module) ? 'handler' : 'module',
            `nobody is ${owner.module}.${owner.handler}`,
          ),
        ]),
    ...owner.consumers
      .filter((consumer) => !isConsumer(consumer))
      .map((consumer) => fault(owner, at, 'consumers', `nobody is ${consumer}`)),
  ]);
  return [...counted, ...known];
}

function statusFaults(material: Material): readonly Fault[] {
  return forEach(material, (owner, at) => {
    const subject = material.registry.subjects.find(({ name }) => name === owner.subject);
    const say = (message: string): readonly Fault[] => [fault(owner, at, 'status', message)];
    if (!(OWNER_STATUSES as readonly string[]).includes(owner.status))
      return say(`${owner.status || 'none'} is no status of an owner`);
    if (owner.status !== 'planned') return [];
    if (subject?.status === 'frozen') return say('a frozen subject is served');
    // Supporting v1 names have no status for a plan, so there the owner says it.
    return subject?.version === 'v2' && subject.status === 'active'
      ? say('an active subject has an owner who serves it')
      : [];
  });
}

export const OWNER_RULES = {
  'owner-exists': {
    severity: 'error',
    says: 'each subject has exactly one owner, with a known module and handler and known consumers',
    check: ownerFaults,
  },
  'owner-orphan': {
    severity: 'error',
    says: 'no owner is of a subject that does not exist',
    check: (material) =>
      forEach(material, (owner, at) =>
        material.registry.subjects.some(({ name }) => name === owner.subject)
          ? []
          : [fault(owner, at, 'subject', 'the registry has no such subject')],
      ),
  },
  'owner-status': {
    severity: 'error',
    says: 'frozen subjects have an active or external owner, active v2 subjects none that is planned',
    check: statusFaults,
  },
  'owner-team': {
    severity: 'error',
    says: 'the team is one of meta.teams',
    check: (material) =>
      forEach(material, (owner, at) =>
        Object.hasOwn(material.registry.meta.teams, owner.team)
          ? []
          : [fault(owner, at, 'team', `${owner.team || 'none'} is no team`)],
      ),
  },
  'owner-evidence': {
    severity: 'warning',
    says: 'the evidence of what is served is a test file that exists',
    check: (material) =>
      forEach(material, (owner, at) =>
        owner.status === 'planned' || (owner.evidence.endsWith('.test.ts') && material.evidence.has(owner.evidence))
          ? []
          : [fault(owner, at, 'evidence', `${owner.evidence || 'nothing'} is no test file`)],
      ),
  },
} as const satisfies Readonly<Record<string, Rule>>;
