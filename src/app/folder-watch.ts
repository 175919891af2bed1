// Tells that something moved in a set of folders, not what. Where events are not to be had, it tells nothing: who needs
// to know for sure looks for itself from time to time.
import { type FSWatcher, watch } from 'node:fs';

export class FolderWatch implements Disposable {
  readonly #moved: () => void;
  readonly #watchers = new Map<string, FSWatcher>();
  #isClosed = false;

  constructor(moved: () => void) {
    this.#moved = moved;
  }

  /** Watches these folders, and no others any more. */
  set(folders: readonly string[]): void {
    if (this.#isClosed) return;
    const wanted = new Set(folders);
    for (const folder of this.#watchers.keys()) if (!wanted.has(folder)) this.#end(folder);
    for (const folder of wanted) if (!this.#watchers.has(folder)) this.#begin(folder);
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const folder of this.#watchers.keys()) this.#end(folder);
  }

  #begin(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, this.#moved);
      watcher.on('error', () => this.#end(folder));
      this.#watchers.set(folder, watcher);
    } catch {
      // Gone again, or the system has no watches left.
    }
  }

  #end(folder: string): void {
    this.#watchers.get(folder)?.close();
    this.#watchers.delete(folder);
  }
}
