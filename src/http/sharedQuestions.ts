/**
 * Questions whose answers are long and cost the main thread tens of ms: of the same one, only one is under way at a time. Whoever asks meanwhile shares
 * the next one, which is put after the first was answered, so that nobody gets an answer from before they asked. Owned by the HTTP thread.
 */

interface Line<T> {
  /** Asked for, and not put yet. */
  next: Promise<T> | null;
  /** Ends when the one that was put is answered. */
  running: Promise<unknown>;
}

export class SharedQuestions<T> {
  readonly #lines = new Map<string, Line<T>>();

  /** `put` asks; it must not reject. Two calls with the same key ask the same. */
  ask(key: string, put: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(key);
    if (line === undefined) {
      const answer = put();
      this.#run(key, { next: null, running: answer });
      return answer;
    }
    line.next ??= line.running.then(() => {
      const answer = put();
      this.#run(key, { next: null, running: answer });
      return answer;
    });
    return line.next;
  }

  /** Keys that are under way. */
  get size(): number {
    return this.#lines.size;
  }

  #run(key: string, line: Line<T>): void {
    this.#lines.set(key, line);
    void line.running.then(() => {
      if (line.next === null) this.#lines.delete(key);
    });
  }
}
