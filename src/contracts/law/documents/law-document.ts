// What is generated from the law (contracts 9.3), and what it is generated from. Every generator is a pure function.
import type { Material } from '../material.ts';
import type { Registry, SubjectEntry } from '../registry-shape.ts';

export type LawSource = Pick<Material, 'registry' | 'schemas' | 'examples'>;

export interface LawDocument {
  /** From the root of the project. */
  readonly path: string;
  readonly text: string;
}

/** Subjects that carry messages today, or did: a draft or a plan has none. */
export const servedSubjects = ({ subjects }: Registry): readonly SubjectEntry[] =>
  subjects.filter(({ status }) => status !== 'draft' && status !== 'planned');

/** The names between angle brackets in a template. */
export const paramsOf = (template: string): readonly string[] =>
  Array.from(template.matchAll(/<([a-z_]+)>/g), ([, name = '']) => name);

/** Words with capitals after the first: `caf.exec.call.v2.<pool>` becomes `cafExecCallV2Pool`. */
export const camelOf = (name: string): string =>
  name.replaceAll(/[^A-Za-z0-9]+(?<next>[A-Za-z0-9])?/g, (_all, next?: string) => (next ?? '').toUpperCase());

export const jsonText = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
