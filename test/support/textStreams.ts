/**
 * Streams that keep what a tool writes.
 */
import type { ToolStreams } from '../../src/tools/runTool.js';

/** `out` and `err` grow as the tool writes. */
export interface TextStreams extends ToolStreams {
  out: string;
  err: string;
  abandoned: boolean;
}

/** `interrupted`: a stop signal has come already. `isTTY`: standard error is a terminal. */
export function textStreams(interrupted = false, isTTY = false): TextStreams {
  const streams: TextStreams = {
    out: '',
    err: '',
    abandoned: false,
    stdout: {
      write(text: string) {
        streams.out += text;
      },
    },
    stderr: {
      isTTY,
      write(text: string) {
        streams.err += text;
      },
    },
    interrupted: () => interrupted,
    abandon() {
      streams.abandoned = true;
    },
  };
  return streams;
}
