// Why no route was found: the path is unknown, or it serves other methods (gateway 2).
import { BeamlineError } from '../core/errors.ts';
import { routeTable } from './route-table.ts';

interface Template {
  readonly method: string;
  readonly matches: RegExp;
}

/** Answers for targets that no route took; a target is a path with or without a query. */
export function openUnserved(): (method: string, target: string) => BeamlineError {
  const templates: readonly Template[] = routeTable.map(({ method, path }) => ({ method, matches: matcherOf(path) }));
  return (asked, target) => {
    const path = target.split('?', 1)[0] ?? '';
    const methods = templates.filter(({ matches }) => matches.test(path)).map(({ method }) => method);
    const isServed = methods.includes(asked === 'HEAD' ? 'GET' : asked);
    // A parameter that is too long is no name of anything.
    if (isServed || methods.length === 0) return new BeamlineError('not_found', 'There is no such path.');
    const allow = methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ');
    return new BeamlineError('method_not_allowed', `The path serves ${allow}.`, { details: { allow } });
  };
}

const matcherOf = (path: string): RegExp =>
  new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+').replace('*', '.*')}$`);
