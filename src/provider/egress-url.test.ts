import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressBytes, deniedRange } from './egress-addresses.ts';
import { parseEgressAllow } from './egress-allow.ts';
import { checkUrl } from './egress-url.ts';

const NOTHING = parseEgressAllow([]);

/** The oracle: the ranges again, in the words of the platform. */
const V4 = (
  '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 ' +
  '192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3'
).split(' ');
/** All but 2000::/3, and what is special in it. */
const V6 = '::/3 4000::/2 8000::/1 2001::/23 2001:db8::/32 2002::/16 3ffe::/16 3fff::/20'.split(' ');
const four = new BlockList();
const six = new BlockList();
for (const range of V4) four.addSubnet(range.split('/')[0] ?? '', Number(range.split('/')[1]), 'ipv4');
for (const range of V6) six.addSubnet(range.split('/')[0] ?? '', Number(range.split('/')[1]), 'ipv6');

const dotted = (value: number): string => [24, 16, 8, 0].map((bits) => (value >>> bits) & 255).join('.');
const grouped = (groups: readonly number[]): string => groups.map((group) => group.toString(16)).join(':');

const anyV4 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
/** Near the edges of the ranges as well, where a wrong mask shows. */
const edgyV4 = fc
  .tuple(fc.constantFrom(...V4), fc.integer({ min: -2, max: 2 }), fc.boolean(), anyV4, fc.boolean())
  .map(([range, by, atEnd, random, isInside]) => {
    const [base = '', bits] = range.split('/');
    const start = base.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
    const size = 2 ** (32 - Number(bits));
    const value = isInside ? start + (random % size) : start + (atEnd ? size - 1 : 0) + by;
    return Math.min(2 ** 32 - 1, Math.max(0, value));
  });
const anyGroup = fc.integer({ min: 0, max: 0xffff });
const edgyV6 = fc
  .tuple(
    fc.constantFrom(
      '2001:',
      '2001:db8:',
      '2002:',
      '3ffe:',
      '3fff:',
      '3fff:1000:',
      '64:ff9b:',
      'fe80:',
      'fc00:',
      '2600:',
      '',
    ),
    fc.array(anyGroup, { minLength: 8, maxLength: 8 }),
  )
  .map(([start, groups]) => `${start}${grouped(groups)}`.split(':').slice(0, 8).join(':'));

test('an address is denied exactly where the ranges of the platform say so', () => {
  fc.assert(
    fc.property(fc.oneof(anyV4, edgyV4), (value) => {
      assert.equal(deniedRange(dotted(value)) !== undefined, four.check(dotted(value), 'ipv4'), dotted(value));
    }),
    { numRuns: 5_000 },
  );
  fc.assert(
    fc.property(edgyV6, (address) => {
      assert.equal(deniedRange(address) !== undefined, six.check(address, 'ipv6'), address);
    }),
    { numRuns: 5_000 },
  );
});

/** The same address as people and attackers write it. */
const forms: readonly ((value: number) => string)[] = [
  dotted,
  (value) => `${dotted(value)}.`,
  (value) => String(value),
  (value) => `0x${value.toString(16)}`,
  (value) => `0${value.toString(8)}`,
  (value) => [24, 16, 8, 0].map((bits) => `0x${((value >>> bits) & 255).toString(16)}`).join('.'),
  (value) => [24, 16, 8, 0].map((bits) => `0${((value >>> bits) & 255).toString(8)}`).join('.'),
  (value) => `${value >>> 24}.${value & 0xffffff}`,
  (value) => `${value >>> 24}.${(value >>> 16) & 255}.${value & 0xffff}`,
  (value) => dotted(value).replaceAll('.', '。'),
  (value) => dotted(value).replaceAll(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit))),
  (value) => dotted(value).replaceAll('.', '%2e'),
  (value) => `[::ffff:${dotted(value)}]`,
  (value) => `[::ffff:${grouped([value >>> 16, value & 0xffff])}]`,
  (value) => `[0:0:0:0:0:FFFF:${dotted(value)}]`,
  (value) => `[::${dotted(value)}]`,
  (value) => `[64:ff9b::${grouped([value >>> 16, value & 0xffff])}]`,
  (value) => `[2002:${grouped([value >>> 16, value & 0xffff])}::]`,
  (value) => `[2001:0:1::${grouped([value >>> 16, value & 0xffff])}]`,
];

test('a denied address passes in none of its forms', () => {
  fc.assert(
    fc.property(edgyV4, fc.constantFrom(...forms), fc.constantFrom('', ':443', ':80'), (value, form, port) => {
      fc.pre(four.check(dotted(value), 'ipv4'));
      const text = `https://${form(value)}${port}/x`;
      assert.equal(checkUrl(text, NOTHING).kind, 'denied', text);
    }),
    { numRuns: 5_000 },
  );
});

const DENIED: readonly (readonly [url: string, reason: string])[] = [
  ...['127.0.0.1', '127.1', '0x7f.1', '2130706433', '017700000001', '0', '[::]', '[::1]', '①②⑦.0.0.1'].map(
    (host) => [`https://${host}/`, 'address'] as const,
  ),
  ...['169.254.169.254', '169.254.169.254.', '[::ffff:a9fe:a9fe]', '[64:ff9b::a9fe:a9fe]', '[2002:a9fe:a9fe::]'].map(
    (host) => [`https://${host}/`, 'address'] as const,
  ),
  ...[
    '[fd00:ec2::254]',
    '100.100.100.200',
    '168.63.129.16',
    '[fe80::1]',
    '[ff02::1]',
    '[fec0::1]',
    '[::127.0.0.1]',
  ].map((host) => [`https://${host}/`, 'address'] as const),
  ...['localhost', 'localhost.', 'LOCALHOST', 'ⓛocalhost', 'a.localhost', 'metadata', 'metadata.google.internal.'].map(
    (host) => [`https://${host}/`, 'name'] as const,
  ),
  ['http://example.com/', 'scheme'],
  ['http://8.8.8.8/', 'scheme'],
  ['ftp://example.com/', 'scheme'],
  ['file://example.com/etc/passwd', 'scheme'],
  ['file:///etc/passwd', 'invalid_url'],
  ['gopher://example.com/', 'scheme'],
  ['https://user@example.com/', 'userinfo'],
  ['https://:secret@example.com/', 'userinfo'],
  ['https://example.com@localhost/', 'userinfo'],
  ['https://example.com:4222/', 'port'],
  ['https://example.com:6379/', 'port'],
  ['https://example.com:0/', 'port'],
  ['https://example.com:65536/', 'invalid_url'],
  ['https:\\\\example.com/', 'invalid_url'],
  ['https://example.com\\@localhost/', 'invalid_url'],
  ['https:///example.com/', 'invalid_url'],
  ['https:example.com', 'invalid_url'],
  ['https://exa\tmple.com/', 'invalid_url'],
  ['https://exa\nmple.com/', 'invalid_url'],
  ['https://exa\0mple.com/', 'invalid_url'],
  [' https://example.com/', 'invalid_url'],
  ['https://exam ple.com/', 'invalid_url'],
  ['https://example..com/', 'invalid_url'],
  ['https://example.com../', 'invalid_url'],
  ['https://-example.com/', 'invalid_url'],
  ['https://exa!mple.com/', 'invalid_url'],
  ['https://[fe80::1%25eth0]/', 'invalid_url'],
  ['https://1.2.3.4.5/', 'invalid_url'],
  [`https://example.com/${'a'.repeat(8_192)}`, 'invalid_url'],
  ['', 'invalid_url'],
];

for (const [url, reason] of DENIED) {
  test(`${JSON.stringify(url.slice(0, 60))} is refused as ${reason}`, () => {
    assert.deepEqual(checkUrl(url, NOTHING), { kind: 'denied', reason });
  });
}

test('a public address passes, and what is read is what counts', () => {
  for (const [text, href] of [
    ['https://Example.COM./a?b=c#d', 'https://example.com/a?b=c'],
    ['https://bücher.example/', 'https://xn--bcher-kva.example/'],
    ['https://8.8.8.8/', 'https://8.8.8.8/'],
    ['https://[2606:4700::1]:80/', 'https://[2606:4700::1]:80/'],
    ['https://0x08080808/', 'https://8.8.8.8/'],
  ] as const) {
    const found = checkUrl(text, NOTHING);
    assert.equal(found.kind === 'allowed' && found.url.href, href, text);
  }
});

test('an entry opens what it names and nothing beside it', () => {
  const allow = parseEgressAllow([
    'ollama.local:11434',
    'intranet',
    '10.1.0.0/16',
    '127.0.0.1:9000',
    '[::1]:9000',
    '8443',
  ]);
  const kindOf = (text: string): string => {
    const found = checkUrl(text, allow);
    return found.kind === 'allowed' ? found.kind : found.reason;
  };
  assert.equal(kindOf('http://ollama.local:11434/'), 'allowed');
  assert.equal(kindOf('http://ollama.local:11435/'), 'port');
  assert.equal(kindOf('http://ollama.local/'), 'scheme');
  assert.equal(kindOf('http://other.local:11434/'), 'port');
  assert.equal(kindOf('http://intranet/'), 'allowed');
  assert.equal(kindOf('http://intranet:9000/'), 'port');
  assert.equal(kindOf('http://10.1.2.3/'), 'allowed');
  assert.equal(kindOf('http://10.2.2.3/'), 'address');
  assert.equal(kindOf('http://[::ffff:10.1.2.3]/'), 'address');
  assert.equal(kindOf('http://10.1.2.3:6379/'), 'port');
  assert.equal(kindOf('http://127.0.0.1:9000/'), 'allowed');
  assert.equal(kindOf('http://0x7f.1:9000/'), 'allowed');
  assert.equal(kindOf('http://[::1]:9000/'), 'allowed');
  assert.equal(kindOf('http://127.0.0.1/'), 'address');
  assert.equal(kindOf('http://127.0.0.2:9000/'), 'address');
  assert.equal(kindOf('https://example.com:8443/'), 'allowed');
  assert.equal(kindOf('http://example.com:8443/'), 'scheme');
});

test('an entry that is neither a host, a port nor a range is refused', () => {
  for (const entry of [
    '',
    'http://x',
    'a/b',
    '10.0.0.0/33',
    '::/129',
    'x:0',
    'x:70000',
    '0',
    '70000',
    'a b',
    'user@x',
    '[::1',
    '1.2.3.4/',
    '::1%eth0',
  ]) {
    assert.throws(() => parseEgressAllow([entry]), { code: 'validation_failed' }, entry);
  }
});

test('an address is read byte by byte, and no other text is one', () => {
  assert.deepEqual(addressBytes('1.2.3.4'), [1, 2, 3, 4]);
  assert.deepEqual(addressBytes('::1'), [...Array<number>(15).fill(0), 1]);
  assert.deepEqual(addressBytes('1::ffff:1.2.3.4'), [0, 1, ...Array<number>(8).fill(0), 255, 255, 1, 2, 3, 4]);
  assert.deepEqual(addressBytes('fe80::1%eth0'), [0xfe, 0x80, ...Array<number>(13).fill(0), 1]);
  for (const text of ['', 'localhost', '127.1', '0x7f.0.0.1', '1.2.3.4.', '[::1]', '1.2.3.256']) {
    assert.equal(addressBytes(text), undefined, text);
    assert.equal(deniedRange(text), 'reserved', text);
  }
});
