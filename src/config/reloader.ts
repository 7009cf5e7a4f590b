/**
 * Takes over a changed configuration, all of it or nothing: every part of the node first checks what the file asks of it, and only when none refuses they all act.
 *
 * Owned by the node (`dataNode.ts`), which registers its parts. What may be taken over is decided in `reload.ts`.
 */
import assert from 'node:assert';
import type { NodeConfig } from './config.js';
import { accepted, oneLine, type Parsed, refused } from './parsed.js';
import { type PartName, planReload, type ReloadPlan } from './reload.js';

/**
 * Checks what only the part can know (that a certificate can be read, say) and changes nothing yet. The value puts the settings in force; it does not fail. A rejection
 * counts as a refusal.
 */
export type Prepare = (config: NodeConfig) => Parsed<() => void> | Promise<Parsed<() => void>>;

/** A part with nothing to check. */
export function always(apply: (config: NodeConfig) => void): Prepare {
  return (config) => accepted(() => apply(config));
}

export class Reloader {
  readonly #parts = new Map<PartName, Prepare>();
  #config: NodeConfig;

  /** `config`: what the node was started with. */
  constructor(config: NodeConfig) {
    this.#config = config;
  }

  /** What is in force. */
  get config(): NodeConfig {
    return this.#config;
  }

  /** From now on the part's fields can change while the node runs. Once a part. */
  register(part: PartName, prepare: Prepare): void {
    assert(!this.#parts.has(part), `${part} is registered twice`);
    this.#parts.set(part, prepare);
  }

  /**
   * Puts in force what it can of `file`. Every part acts, also when its fields are the same: what was changed by HTTP is set back, certificates are read again. A refusal
   * is one line, and nothing has changed. One at a time.
   */
  async reload(file: NodeConfig): Promise<Parsed<ReloadPlan>> {
    const plan = planReload(this.#config, file, this.#parts.keys());
    const steps: (() => void)[] = [];
    for (const prepare of this.#parts.values()) {
      const step = await prepareSafely(prepare, plan.config);
      if (!step.ok) return step;
      steps.push(step.value);
    }
    this.#config = plan.config;
    for (const step of steps) step();
    return accepted(plan);
  }
}

async function prepareSafely(prepare: Prepare, config: NodeConfig): Promise<Parsed<() => void>> {
  try {
    return await prepare(config);
  } catch (error) {
    return refused('reload', oneLine(error instanceof Error ? error.message : String(error)));
  }
}
