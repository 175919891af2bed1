// The class of places that work takes in a worker (worker 2), by its type. Workers place a block by its own word; routers
// know a type only, and count what they have on the streams by it.

export type SlotClass = 'io' | 'cpu';
export const SLOT_CLASSES: readonly SlotClass[] = ['io', 'cpu'];

const CPU: ReadonlySet<string> = new Set(['transform']);

export const slotClassOf = (type: string): SlotClass => (CPU.has(type) ? 'cpu' : 'io');
