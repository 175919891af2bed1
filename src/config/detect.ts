// Finds the model providers that an environment already has keys for, so that a first start needs no file.
// A detected provider has no model map: it serves any name that it is asked for.
import type { Environment } from './environment.ts';
import type { ProviderConfig } from './schema.ts';

interface Row {
  /** The variable whose presence announces the provider. */
  readonly name: string;
  readonly id: string;
  readonly base_url: string;
  /** A variable that replaces the address. */
  readonly address?: string;
}

const WITH_KEY: readonly Row[] = [
  { name: 'OPENAI_API_KEY', id: 'openai', base_url: 'https://api.openai.com/v1', address: 'OPENAI_BASE_URL' },
  { name: 'ANTHROPIC_API_KEY', id: 'anthropic', base_url: 'https://api.anthropic.com/v1' },
  { name: 'GEMINI_API_KEY', id: 'gemini', base_url: 'https://generativelanguage.googleapis.com/v1beta/openai' },
  { name: 'MISTRAL_API_KEY', id: 'mistral', base_url: 'https://api.mistral.ai/v1' },
  { name: 'GROQ_API_KEY', id: 'groq', base_url: 'https://api.groq.com/openai/v1' },
  { name: 'DEEPSEEK_API_KEY', id: 'deepseek', base_url: 'https://api.deepseek.com/v1' },
  { name: 'OPENROUTER_API_KEY', id: 'openrouter', base_url: 'https://openrouter.ai/api/v1' },
];

const OLLAMA_PORT = '11434';

/** One provider, in the shape of an entry of `providers.list`. */
type Detected = Pick<ProviderConfig, 'id' | 'type'> & Partial<ProviderConfig>;

/** Entries for `providers.list`; without any key in the environment, the simulated provider alone. */
export function detectProviders(env: Environment): readonly Detected[] {
  const found = [...WITH_KEY.flatMap((row) => withKey(row, env)), ...openaiCompatible(env), ...ollama(env)];
  return found.length > 0 ? found : [SIMULATED];
}

const SIMULATED: Detected = {
  id: 'sim',
  type: 'sim',
  models: {
    'sim-small': { price: { input: 100_000, cached_input: 10_000, output: 400_000 } },
    'sim-large': { price: { input: 2_000_000, cached_input: 200_000, output: 8_000_000 } },
  },
};

function withKey({ name, id, base_url, address }: Row, env: Environment): Detected[] {
  if (!env[name]) return [];
  const url = (address === undefined ? undefined : env[address]) || base_url;
  return [{ id, type: 'openai-compatible', base_url: url, keys: [{ id: 'env', secret: `env:${name}` }] }];
}

/** A server of one's own often wants an address and no key. */
const openaiCompatible = ({ OPENAI_API_KEY, OPENAI_BASE_URL }: Environment): Detected[] =>
  OPENAI_BASE_URL && !OPENAI_API_KEY ? [{ id: 'openai', type: 'openai-compatible', base_url: OPENAI_BASE_URL }] : [];

/** `OLLAMA_HOST` is a host, a host and port, or an address; 0.0.0.0 is where its server binds, not where to call it. */
function ollama({ OLLAMA_HOST }: Environment): Detected[] {
  if (!OLLAMA_HOST) return [];
  const text = OLLAMA_HOST.includes('://') ? OLLAMA_HOST : `http://${OLLAMA_HOST}`;
  if (!URL.canParse(text)) return [];
  const url = new URL(text);
  const hasPort = /:\d+$/.test(text.slice(text.indexOf('://') + 3).split('/')[0] ?? '');
  const port = hasPort || url.protocol === 'https:' ? url.port : OLLAMA_PORT;
  const host = url.hostname === '0.0.0.0' ? '127.0.0.1' : url.hostname;
  return [{ id: 'ollama', type: 'openai-compatible', base_url: `${url.protocol}//${host}${port && `:${port}`}/v1` }];
}
