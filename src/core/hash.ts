// A hash that spreads well (policy 5.1): FNV-1a 32 over UTF-8 bytes, then the MurmurHash3 finalizer.
// The bytes are made on the way, so nothing is allocated. A lone surrogate counts as U+FFFD, as in every encoder.

export const FNV_OFFSET = 0x81_1c_9d_c5;
const FNV_PRIME = 0x01_00_01_93;
const REPLACEMENT = 0xff_fd;
const TWO_TO_32 = 4_294_967_296;

/** Hashes a text to an integer from 0 to 2^32 - 1. */
export function hash(text: string): number {
  return finish(fold(FNV_OFFSET, text));
}

/** A fraction from 0 to below 1. */
export const unit = (text: string): number => hash(text) / TWO_TO_32;

/** The state after a text; `finish` makes a hash of it. */
export function fold(start: number, text: string): number {
  let state = start;
  for (let i = 0; i < text.length; i++) {
    const unitOfText = text.charCodeAt(i);
    if (unitOfText < 0x80) {
      state = Math.imul(state ^ unitOfText, FNV_PRIME);
      continue;
    }
    let point = text.codePointAt(i) ?? REPLACEMENT;
    if (point > 0xff_ff) i++;
    else if (point >= 0xd8_00 && point <= 0xdf_ff) point = REPLACEMENT;
    state = foldPoint(state, point);
  }
  return state;
}

/** Folds the two to four UTF-8 bytes of a character outside ASCII. */
function foldPoint(start: number, point: number): number {
  let state = start;
  if (point < 0x8_00) {
    state = Math.imul(state ^ (0xc0 | (point >> 6)), FNV_PRIME);
  } else {
    if (point < 0x1_00_00) {
      state = Math.imul(state ^ (0xe0 | (point >> 12)), FNV_PRIME);
    } else {
      state = Math.imul(state ^ (0xf0 | (point >> 18)), FNV_PRIME);
      state = Math.imul(state ^ (0x80 | ((point >> 12) & 0x3f)), FNV_PRIME);
    }
    state = Math.imul(state ^ (0x80 | ((point >> 6) & 0x3f)), FNV_PRIME);
  }
  return Math.imul(state ^ (0x80 | (point & 0x3f)), FNV_PRIME);
}

export function finish(start: number): number {
  let state = start;
  state = Math.imul(state ^ (state >>> 16), 0x85_eb_ca_6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2_b2_ae_35);
  return (state ^ (state >>> 16)) >>> 0;
}
