// GET /v1/models and /v1/models/{name}: the names that a key may call (gateway 12, 13.1). A name may hold slashes.
import { BeamlineError } from '../../core/errors.ts';
import type { Call } from '../call.ts';
import type { ListedModel, ModelNames } from '../model-port.ts';
import type { JsonSchema, Route } from '../route.ts';

const modelSchema: JsonSchema = {
  type: 'object',
  required: ['id', 'object', 'created', 'owned_by'],
  properties: {
    id: { type: 'string' },
    object: { const: 'model' },
    created: { type: 'integer' },
    owned_by: { type: 'string' },
  },
};

// Nothing tells when a name was first served; clients only need a number.
const rendered = ({ name, ownedBy }: ListedModel) => ({ id: name, object: 'model', created: 0, owned_by: ownedBy });

interface ModelNeeds {
  readonly names: ModelNames;
}

export const listModels: Route<ModelNeeds> = {
  method: 'GET',
  path: '/v1/models',
  release: 'P1',
  access: 'tenant',
  summary: 'List the models that the key may call.',
  response: {
    type: 'object',
    required: ['object', 'data'],
    properties: { object: { const: 'list' }, data: { type: 'array', items: modelSchema } },
  },
  errors: [],
  handle(call, { names }) {
    call.json(200, { object: 'list', data: callable(call, names).map(rendered) });
  },
};

export const getModel: Route<ModelNeeds> = {
  method: 'GET',
  path: '/v1/models/*',
  release: 'P1',
  access: 'tenant',
  summary: 'Look one model up; its name may hold slashes.',
  response: modelSchema,
  errors: ['model_not_found'],
  handle(call, { names }, params) {
    const model = callable(call, names).find(({ name }) => name === params['*']);
    if (model !== undefined) return call.json(200, rendered(model));
    throw new BeamlineError('model_not_found', 'The model is not available to this key.', {
      details: { param: 'model' },
    });
  },
};

const callable = ({ principal, tenantId }: Call, names: ModelNames): readonly ListedModel[] =>
  names.list(tenantId).filter(({ name }) => {
    if (!(principal?.models?.has(name) ?? true)) return false;
    const policyId = names.resolve(tenantId, name)?.policyId;
    return policyId !== undefined && (principal?.policies?.has(policyId) ?? true);
  });
