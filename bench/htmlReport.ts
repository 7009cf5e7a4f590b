import type { Comparison } from './compare.js';
import type { LoadOptions } from './flags.js';
import type { RunResult } from './result.js';
export function renderPage(_options: LoadOptions, _runs: readonly RunResult[], _comparison: Comparison | null): string {
  return '';
}
