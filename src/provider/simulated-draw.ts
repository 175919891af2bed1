// What a simulated model draws: all of it comes from hashes of the seed, so that a run can be repeated.
import type { Drawn, SimulatedProfile } from './simulated-script.ts';

/** A profile whose numbers are drawn. */
export interface DrawnProfile extends SimulatedProfile {
  readonly first_chunk_ms?: number;
  readonly tokens_per_s?: number;
  readonly output_tokens?: number;
}

/** FNV-1a over UTF-16 units and a last mixing, 32 bits: cheap, and the same on every machine. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** From 0 to below 1. */
export const shareOf = (text: string): number => hashOf(text) / 2 ** 32;

/** Times differ from request to request; the length of a text belongs to the text, which a model says again. */
export function drawnProfile(profile: SimulatedProfile, request: string, text: string): DrawnProfile {
  const { first_chunk_ms: first, tokens_per_s: pace, output_tokens: length, ...others } = profile;
  if (isFixed(first) && isFixed(pace) && isFixed(length)) return profile as DrawnProfile;
  return {
    ...others,
    ...(first === undefined ? {} : { first_chunk_ms: Math.round(draw(first, `${request}/first`)) }),
    ...(pace === undefined ? {} : { tokens_per_s: draw(pace, `${request}/pace`) }),
    ...(length === undefined ? {} : { output_tokens: Math.max(1, Math.round(draw(length, `${text}/length`))) }),
  };
}

const isFixed = (value: Drawn | undefined): boolean => typeof value !== 'object';

function draw(value: Drawn, from: string): number {
  if (typeof value === 'number') return value;
  switch (value.dist) {
    case 'fixed':
      return value.value;
    case 'uniform':
      return value.min + (value.max - value.min) * shareOf(from);
    case 'lognormal':
      return Math.min(value.max, value.median * Math.exp(value.sigma * normal(from)));
  }
}

/** Box and Muller. */
const normal = (from: string): number =>
  Math.sqrt(-2 * Math.log(1 - shareOf(`${from}/a`))) * Math.cos(2 * Math.PI * shareOf(`${from}/b`));
