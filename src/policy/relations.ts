// What one place of a policy document says about another (policy 11.5). Parts of a wrong type were told of already.
import { checkExtensions, type KnownExtensions } from './extension-relations.ts';
import { checkBudgets } from './budget-document.ts';
import { complexityOf } from './complexity.ts';
import { nameHint } from './cel-hint.ts';
import { type Findings, pathTo } from './issue.ts';
import { itemsOf, referencesIn } from './references.ts';
import { isMembers } from './shape.ts';
import { checkStatusWord } from './status-words.ts';

type Members = Readonly<Record<string, unknown>>;

/** Shares such as 33.3 do not sum exactly. */
const SUM_ERROR = 1e-9;

/** What a document is checked against. */
export interface Surroundings {
  readonly tenantId: string;
  readonly policyId: string;
  /** The deployment's catalogue; a policy may name these and its own. */
  readonly knownProviders: ReadonlySet<string>;
  /** Absent where nobody knows them. */
  readonly knownExtensions?: KnownExtensions | undefined;
  /** Whether the price book has the model of a provider; absent where there is no price book. */
  readonly isPriced?: ((provider: string, model: string) => boolean) | undefined;
}

export function relate(document: Members, around: Surroundings, findings: Findings): void {
  for (const [key, stored] of [
    ['policy_id', around.policyId],
    ['tenant_id', around.tenantId],
  ] as const) {
    if (typeof document[key] === 'string' && document[key] !== stored) {
      findings.error(`/${key}`, 'conflict', `must equal the key of the store, '${stored}'`);
    }
  }
  const sticky = document['sticky'];
  if (isMembers(sticky) && sticky['ttl'] !== undefined && sticky['ttl_seconds'] !== undefined) {
    findings.error('/sticky/ttl_seconds', 'conflict', `excludes 'ttl'`);
  }
  const entries = entriesOf(document, findings);
  checkNames(entries, around, findings);
  checkSum(document, entries, findings);
  checkReferences(document, entries, around, findings);
  checkFallbacks(document, entries, findings);
  checkRules(document, findings);
  checkExperiments(document, findings);
  checkIds(itemsOf(document['budgets'], '/budgets'), 'id', 'budget', findings);
  checkBudgets(document['budgets'], findings);
  checkExtensions(document, around.knownExtensions, findings);
  checkPrices(document, around.isPriced, findings);
  const { isWarned, score } = complexityOf(document);
  if (isWarned) findings.warning('', 'complexity', `the extensions make a complexity of ${score}`);
}

/** A provider of the document, as far as it is readable. */
interface Entry {
  readonly path: string;
  readonly name: unknown;
  readonly weight: unknown;
  readonly enabled: boolean;
  readonly isCompact: boolean;
}

function entriesOf(document: Members, findings: Findings): readonly Entry[] {
  const { providers, weights } = document as { providers?: unknown; weights?: unknown };
  if (providers === undefined && weights === undefined)
    findings.error('/providers', 'required', `'providers' or 'weights' is required`);
  if (providers !== undefined && weights !== undefined) findings.error('/weights', 'conflict', `excludes 'providers'`);
  const listed = itemsOf(providers, '/providers').map(([path, { name, weight = 0, enabled }]): Entry => ({
    path: `${path}/name`,
    name,
    weight,
    enabled: enabled !== false,
    isCompact: false,
  }));
  const compact = Object.entries(isMembers(weights) ? weights : {}).map(([name, weight]): Entry => ({
    path: pathTo('/weights', name),
    name,
    weight,
    enabled: true,
    isCompact: true,
  }));
  return [...listed, ...compact];
}

function checkNames(entries: readonly Entry[], { knownProviders }: Surroundings, findings: Findings): void {
  const listed = new Set<string>();
  for (const { path, name, isCompact } of entries) {
    if (typeof name !== 'string') continue;
    if (isCompact && !listed.has(name) && !knownProviders.has(name))
      notDefined(path, name, [...listed, ...knownProviders], findings);
    if (!isCompact && listed.has(name)) findings.error(path, 'duplicate', `provider '${name}' is listed twice`);
    if (!isCompact) listed.add(name);
  }
}

function checkSum(document: Members, entries: readonly Entry[], findings: Findings): void {
  const isWeighted = document['strategy'] === undefined || document['strategy'] === 'weighted';
  if (isWeighted && entries.length > 0 && entries.every(({ weight }) => weight === 0)) {
    findings.error(
      document['providers'] === undefined ? '/weights' : '/providers',
      'weights_sum_zero',
      'at least one weight must be above 0',
    );
  }
}

function checkReferences(
  document: Members,
  entries: readonly Entry[],
  { knownProviders }: Surroundings,
  findings: Findings,
): void {
  const names = new Set(entries.map(({ name }) => name));
  for (const { path, name } of referencesIn(document)) {
    if (!names.has(name) && !knownProviders.has(name)) notDefined(path, name, [...names, ...knownProviders], findings);
  }
}

/** Models that the document itself names: `model` is what is sent, and without it a model of `models` that is no prefix. */
function checkPrices(document: Members, isPriced: Surroundings['isPriced'], findings: Findings): void {
  if (isPriced === undefined) return;
  for (const [path, { name, model, models }] of itemsOf(document['providers'], '/providers')) {
    const named: readonly (readonly [string, unknown])[] =
      model === undefined && Array.isArray(models)
        ? models.map((one: unknown, index) => [`${path}/models/${index}`, one] as const)
        : [[`${path}/model`, model]];
    for (const [at, one] of named) {
      if (typeof name !== 'string' || typeof one !== 'string' || one.endsWith('*') || isPriced(name, one)) continue;
      findings.warning(at, 'unpriced_model', `'${one}' of '${name}' has no price: it counts as 0`);
    }
  }
}

function checkFallbacks(document: Members, entries: readonly Entry[], findings: Findings): void {
  const drawable = entries.filter(({ weight, enabled }) => weight !== 0 && enabled);
  const only = drawable.length === 1 ? drawable[0]?.name : undefined;
  const items = itemsOf(document['fallbacks'], '/fallbacks').map(([path, { to, when }]) => {
    const current = isMembers(when) ? when['current_provider'] : undefined;
    return { path: `${path}/to`, to, from: current ?? only };
  });
  const compact = document['fallback'];
  const words: unknown = isMembers(compact) ? compact['conditions'] : undefined;
  for (const [index, word] of (Array.isArray(words) ? words : []).entries()) {
    if (typeof word === 'string') checkStatusWord(word, `/fallback/conditions/${index}`, findings);
  }
  if (isMembers(compact)) items.push({ path: '/fallback/provider', to: compact['provider'], from: only });
  for (const { path, to, from } of items) {
    if (typeof to === 'string' && to === from)
      findings.warning(path, 'fallback_to_self', `falls back to the provider that failed, '${to}'`);
  }
}

/** A rule that always holds and does not go on is the last one that is tested. */
function checkRules(document: Members, findings: Findings): void {
  const items = itemsOf(document['rules'], '/rules');
  checkIds(items, 'id', 'rule', findings);
  const last = items.findIndex(([, rule]) => alwaysHolds(rule['when']) && rule['continue'] !== true);
  if (last === -1) return;
  for (const [path] of items.slice(last + 1)) {
    findings.warning(path, 'unreachable_rule', 'an earlier rule always holds and does not continue');
  }
}

/** Every unit is in one arm, so the shares of the arms are the whole. */
function checkExperiments(document: Members, findings: Findings): void {
  const items = itemsOf(document['experiments'], '/experiments');
  checkIds(items, 'id', 'experiment', findings);
  for (const [path, { arms: list }] of items) {
    const arms = itemsOf(list, `${path}/arms`);
    checkIds(arms, 'name', 'arm', findings);
    const shares = arms.map(([, { share }]) => share);
    if (shares.length === 0 || !shares.every((share) => typeof share === 'number')) continue;
    const sum = shares.reduce((all, share) => all + share, 0);
    if (Math.abs(sum - 100) > SUM_ERROR)
      findings.error(`${path}/arms`, 'shares_sum', `shares must sum to 100, not ${sum}`);
  }
}

const alwaysHolds = (when: unknown): boolean =>
  when === undefined || (isMembers(when) ? Object.keys(when).length === 0 : when === 'true');

/** Items of one list must differ in `key`. */
function checkIds(
  items: readonly (readonly [path: string, item: Members])[],
  key: 'id' | 'name',
  what: string,
  findings: Findings,
): void {
  const seen = new Set<unknown>();
  for (const [path, item] of items) {
    const name = item[key];
    if (typeof name !== 'string') continue;
    if (seen.has(name)) findings.error(`${path}/${key}`, 'duplicate', `${what} '${name}' is listed twice`);
    seen.add(name);
  }
}

function notDefined(path: string, name: string, known: Iterable<unknown>, findings: Findings): void {
  if (findings.isFull) return;
  const names = [...known].filter((one) => typeof one === 'string');
  findings.error(path, 'unknown_provider', `provider '${name}' is not defined${nameHint(name, names)}`);
}
