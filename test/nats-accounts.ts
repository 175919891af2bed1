// Credentials for a NATS server that trusts an operator: an account with JetStream, and users that may do what they are
// allowed and nothing else. Keys are Ed25519; texts are those of the server's own tools.
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto';

const PREFIX = { operator: 14 << 3, account: 0, user: 20 << 3 } as const;
const SEED = 18 << 3;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

interface Key {
  readonly id: string;
  readonly seed: string;
  readonly secret: KeyObject;
}

export interface Allowed {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** The server's configuration, and the text of a credentials file for each name. */
export function natsAccounts(users: Readonly<Record<string, Allowed>>): {
  readonly config: string;
  readonly creds: Readonly<Record<string, string>>;
} {
  const [operator, account, system] = [newKey('operator'), newKey('account'), newKey('account')];
  const limits = {
    ...Object.fromEntries(['subs', 'data', 'payload', 'imports', 'exports', 'conn', 'leaf'].map((name) => [name, -1])),
    ...Object.fromEntries(['mem_storage', 'disk_storage', 'streams', 'consumer'].map((name) => [name, -1])),
    wildcards: true,
  };
  const accountToken = token('account', account.id, operator, { limits });
  const creds = Object.entries(users).map(([name, { publish, subscribe }]) => {
    const user = newKey('user');
    const free = { subs: -1, data: -1, payload: -1 };
    const may = { pub: { allow: publish }, sub: { allow: subscribe } };
    const text = token('user', user.id, account, { ...free, ...may });
    return [name, `${armoured('NATS USER JWT', text)}\n${armoured('USER NKEY SEED', user.seed)}`];
  });
  return {
    config: [
      `operator: ${token('operator', operator.id, operator, {})}`,
      'resolver: MEMORY',
      // A token with many permissions is longer than the line that a server takes by default.
      'max_control_line: 65536',
      `system_account: ${system.id}`,
      `resolver_preload: { ${account.id}: ${accountToken}, ${system.id}: ${token('account', system.id, operator, {})} }`,
    ].join('\n'),
    creds: Object.fromEntries(creds) as Readonly<Record<string, string>>,
  };
}

const armoured = (title: string, text: string): string =>
  `-----BEGIN ${title}-----\n${text}\n------END ${title}------\n`;

function newKey(kind: keyof typeof PREFIX): Key {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { d = '', x = '' } = privateKey.export({ format: 'jwk' });
  const prefix = PREFIX[kind];
  const head = Buffer.from([SEED | (prefix >> 5), (prefix & 31) << 3]);
  return {
    id: checked(Buffer.concat([Buffer.from([prefix]), Buffer.from(x, 'base64url')])),
    seed: checked(Buffer.concat([head, Buffer.from(d, 'base64url')])),
    secret: createPrivateKey({ key: privateKey.export({ format: 'pem', type: 'pkcs8' }), format: 'pem' }),
  };
}

function token(type: keyof typeof PREFIX, subject: string, issuer: Key, claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const head = part({ typ: 'JWT', alg: 'ed25519-nkey' });
  const nats = { ...claims, type, version: 2 };
  const body = part({
    jti: randomUUID(),
    iat: Math.floor(Date.now() / 1_000),
    iss: issuer.id,
    name: type,
    sub: subject,
    nats,
  });
  const signed = `${head}.${body}`;
  return `${signed}.${sign(null, Buffer.from(signed), issuer.secret).toString('base64url')}`;
}

/** Bytes with their checksum (CRC-16/XMODEM, little endian) in base 32. */
function checked(bytes: Buffer): string {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = ((crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021) & 0xffff;
  }
  let [text, held, bits] = ['', 0, 0];
  for (const byte of [...bytes, crc & 0xff, crc >> 8]) {
    held = (held << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += ALPHABET.charAt((held >> (bits - 5)) & 31);
    held &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + ALPHABET.charAt((held << (5 - bits)) & 31);
}
