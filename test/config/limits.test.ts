/** The limit of open files: what a node says when the system gives it less than it can use. */
import t from 'tap';
import { fileLimitShortfall } from '../../src/config/limits.js';

t.test('a limit that is enough is nothing to say', async (t) => {
  t.equal(fileLimitShortfall(1_024_000, 1_024_000, 20_000, 65_536), null);
  // Twice the extent files, since half is for the rest; and the connections.
  t.equal(fileLimitShortfall(1_024_000, 85_536, 20_000, 65_536), null);
  t.equal(fileLimitShortfall(1_024_000, 131_072, 65_536, 65_536), null);
});

t.test('a limit that is short: what was asked for, what there is, and what it costs', async (t) => {
  t.equal(
    fileLimitShortfall(1_024_000, 1_024, 20_000, 65_536),
    'the limit of open files is 1024 (1024000 were asked for): 512 extent files are kept open, not 20000, ' +
      'and there is room for about 512 connections, not 65536; raise LimitNOFILE of the service or ulimit -n',
  );
  t.match(
    fileLimitShortfall(1_024_000, 85_535, 20_000, 65_536),
    /is 85535 .*: 20000 extent files are kept open, not 20000, and there is room for about 65535 connections/,
  );
  t.match(
    fileLimitShortfall(1_024_000, 100_000, 60_000, 100),
    /50000 extent files .* 100 connections, not 100;/,
  );
  t.match(
    fileLimitShortfall(1_024_000, 20, 20_000, 65_536),
    /is 20 .*: 64 extent files .* about 0 connections/,
  );
});
