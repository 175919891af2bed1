// The conditions of GitLab's rules, for the two pipelines that a guard asks about: comparisons with == and !=, variables
// by themselves, joined by && and ||. Undefined stands for what is not understood.

export interface GitlabPipeline {
  /** Where, for people. */
  readonly told: string;
  readonly variables: Readonly<Record<string, string>>;
}

export const GITLAB_PIPELINES: readonly GitlabPipeline[] = [
  {
    told: 'on merge requests',
    variables: {
      CI_PIPELINE_SOURCE: 'merge_request_event',
      CI_MERGE_REQUEST_IID: '1',
      CI_MERGE_REQUEST_ID: '1',
      CI_DEFAULT_BRANCH: 'main',
      CI_MERGE_REQUEST_TARGET_BRANCH_NAME: 'main',
    },
  },
  {
    told: 'on the default branch',
    variables: {
      CI_PIPELINE_SOURCE: 'push',
      CI_COMMIT_BRANCH: 'main',
      CI_COMMIT_REF_NAME: 'main',
      CI_DEFAULT_BRANCH: 'main',
    },
  },
];

/** Variables that are empty in these pipelines; any other one is unknown to us. */
const EMPTY: ReadonlySet<string> = new Set([
  'CI_COMMIT_TAG',
  'CI_COMMIT_BRANCH',
  'CI_MERGE_REQUEST_IID',
  'CI_MERGE_REQUEST_ID',
]);

export function isTrue(condition: unknown, { variables }: GitlabPipeline): boolean | undefined {
  if (condition === undefined) return true;
  if (typeof condition !== 'string' || /[()]|=~|!~/.test(condition)) return undefined;
  return joined(condition.split('||'), true, (part) =>
    joined(part.split('&&'), false, (term) => termOf(term.trim(), variables)),
  );
}

/** Or (`decisive` true) and and (false): the decisive value decides, whatever is unknown beside it. */
function joined(
  parts: readonly string[],
  decisive: boolean,
  judge: (part: string) => boolean | undefined,
): boolean | undefined {
  const values = new Set(parts.map(judge));
  if (values.has(decisive)) return decisive;
  return values.has(undefined) ? undefined : !decisive;
}

function termOf(term: string, variables: GitlabPipeline['variables']): boolean | undefined {
  const [, left, operator, right] = /^(\S+|"[^"]*"|'[^']*')\s*(?:(==|!=)\s*(\S+|"[^"]*"|'[^']*'))?$/.exec(term) ?? [];
  const one = valueOf(left, variables);
  if (one === undefined) return undefined;
  if (operator === undefined) return one !== '';
  const other = valueOf(right, variables);
  if (other === undefined) return undefined;
  return operator === '==' ? one === other : one !== other;
}

/** The empty text for what is null or not set; undefined for what nobody here knows. */
function valueOf(word: string | undefined, variables: GitlabPipeline['variables']): string | undefined {
  if (word === undefined) return undefined;
  if (word === 'null') return '';
  if (/^(".*"|'.*')$/.test(word)) return word.slice(1, -1);
  const name = word.startsWith('$') ? word.slice(1).replace(/^\{(.*)\}$/, '$1') : undefined;
  if (name === undefined) return undefined;
  return variables[name] ?? (EMPTY.has(name) ? '' : undefined);
}
