// The one place where a key of a bucket is made: encoded tokens joined by dots, tenant first wherever there is one.
import { encodeToken } from '../contracts/subject.ts';

export const keyOf = (...ids: readonly string[]): string => ids.map(encodeToken).join('.');
