// What can change between two schemas of a message, whom each change breaks, and what the law of contracts says of it.

/** Who upgraded: `consumer`, a new reader of messages of old senders; `producer`, a new sender to old readers. */
export type Direction = 'producer' | 'consumer' | 'both';

/**
 * | kind | breaks a new consumer | breaks a new producer | by law |
 * | --- | --- | --- | --- |
 * | `property_added` | if old senders could send another value there | if old readers refuse it | additive, unless a consumer breaks |
 * | `property_removed` | if it is refused now | if the name is free now for what old readers refuse | breaking |
 * | `required_added`; `required_removed` | yes; no | no; yes | breaking |
 * | `type_narrowed`; `type_widened`; `type_changed` | yes; no; yes | no; yes; yes | breaking |
 * | `enum_shrunk`; `enum_grown` | yes; no | no; yes | breaking; additive |
 * | `const_changed` | yes | yes | breaking |
 * | `bound_tightened`; `bound_loosened`; `bound_changed` | yes; no; yes | no; yes; yes | breaking; additive; breaking |
 * | `pattern_*`, `format_*`: `added`; `removed`; `changed` | yes; no; yes | no; yes; yes | breaking; additive; breaking |
 * | `object_closed` | yes: readers must ignore unknown fields | no | breaking |
 * | `object_opened` | no | if senders may now send what old readers refuse | additive |
 * | `alternative_removed`; `alternative_added` | if no other one takes its place; no | no; if no old one had its place | breaking if a consumer breaks; additive |
 * | `default_changed`; `default_added` | yes: absent means something else; no | yes; no | breaking; additive |
 * | `keyword_changed` | yes | yes | breaking: what is not understood is never compatible |
 *
 * `both` breaks where one of them does. The law (contracts 8.2) allows optional fields and wider limits, which old
 * readers may refuse nevertheless; it forbids what is narrower, removed, or of another default.
 */
export const CHANGE_KINDS = [
  'property_added',
  'property_removed',
  'required_added',
  'required_removed',
  'type_narrowed',
  'type_widened',
  'type_changed',
  'enum_shrunk',
  'enum_grown',
  'const_changed',
  'bound_tightened',
  'bound_loosened',
  'bound_changed',
  'pattern_added',
  'pattern_removed',
  'pattern_changed',
  'format_added',
  'format_removed',
  'format_changed',
  'object_closed',
  'object_opened',
  'alternative_added',
  'alternative_removed',
  'default_added',
  'default_changed',
  'keyword_changed',
] as const;
export type ChangeKind = (typeof CHANGE_KINDS)[number];

export interface Change {
  /** Where in a message: field names after `/`, `*` for the items or the other members, `anyOf:<which>` for an alternative. */
  readonly path: string;
  readonly kind: ChangeKind;
  /** In the direction that was asked for. */
  readonly breaking: boolean;
  readonly breaks: { readonly consumer: boolean; readonly producer: boolean };
  /** Whether contracts 8.2 allows it without a new major version. */
  readonly lawful: boolean;
  /** For people. */
  readonly message: string;
}

/** A change before it is asked in which direction it matters. */
export type Found = Omit<Change, 'breaking' | 'lawful'>;

const FORBIDDEN: ReadonlySet<ChangeKind> = new Set([
  'property_removed',
  'required_removed',
  'type_widened',
  'default_changed',
]);

export const judge = (found: Found, direction: Direction): Change => ({
  ...found,
  breaking: direction === 'both' ? found.breaks.consumer || found.breaks.producer : found.breaks[direction],
  lawful: !found.breaks.consumer && !FORBIDDEN.has(found.kind),
});

type Sides = 'consumer' | 'producer' | 'both' | 'none';

export const found = (path: string, kind: ChangeKind, sides: Sides, message: string): Found => ({
  path: path === '' ? '/' : path,
  kind,
  breaks: {
    consumer: sides === 'consumer' || sides === 'both',
    producer: sides === 'producer' || sides === 'both',
  },
  message,
});

export const sidesOf = (consumer: boolean, producer: boolean): Sides =>
  consumer ? (producer ? 'both' : 'consumer') : producer ? 'producer' : 'none';
