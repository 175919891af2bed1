// Every rule of the contract check (contracts 10) in one table, and the check that runs them all.
import type { Fault, Material, Rule, Severity } from './material.ts';
import { CODE_RULES } from './rules-code.ts';
import { COMPATIBLE_RULES } from './rules-compatible.ts';
import { CONTENT_RULES } from './rules-content.ts';
import { EXAMPLE_RULES } from './rules-examples.ts';
import { FROZEN_RULES } from './rules-frozen.ts';
import { HEADER_RULES } from './rules-headers.ts';
import { OWNER_RULES } from './rules-owner.ts';
import { SCHEMA_RULES } from './rules-schemas.ts';
import { SHAPE_RULES } from './rules-shape.ts';
import { STREAM_RULES } from './rules-streams.ts';
import { SUBJECT_RULES } from './rules-subject.ts';

export const RULES = {
  ...SHAPE_RULES,
  ...HEADER_RULES,
  ...SUBJECT_RULES,
  ...CONTENT_RULES,
  ...FROZEN_RULES,
  ...COMPATIBLE_RULES,
  ...OWNER_RULES,
  ...STREAM_RULES,
  ...SCHEMA_RULES,
  ...EXAMPLE_RULES,
  ...CODE_RULES,
} as const satisfies Readonly<Record<string, Rule>>;

export type RuleId = keyof typeof RULES;

/** Beside what the rule says, which one it is. */
export interface Finding extends Fault {
  readonly rule: RuleId;
  readonly severity: Severity;
}

/** All rules, whatever others found. */
export const checkLaw = (material: Material): readonly Finding[] =>
  (Object.keys(RULES) as readonly RuleId[]).flatMap((rule) => {
    const { severity, check }: Rule = RULES[rule];
    return check(material).map((fault) => findingOf(rule, severity, fault));
  });

const findingOf = (rule: RuleId, severity: Severity, fault: Fault): Finding => ({ rule, severity, ...fault });
