/**
 * What `npm run load -- --help` prints. Kept beside `flags.ts`, which gives the flags their meaning; a test holds both together.
 */

/** Printed by `--help`. */
export const HELP = `npm run load -- [flags]      drives a data node with packets and reports what it did

  --addr HOST:PORT       node to drive (127.0.0.1:17310)
  --partition LIST       partition ids: 3, 1,2,5 or 1..8 (1..8)
  --followers LIST       follower addresses, a:port,b:port: appends are replicated to them
  --replicated           ask a master for partitions and hosts, and send each packet to the first host with the rest as followers
  --master HOST:PORT     that master (127.0.0.1:17010)
  --volume NAME          the volume (demo)
  --keep-going           after a failure go on in new extents of other partitions, as a client does, instead of ending
  --op KIND              create, write, syncwrite, tinywrite, randwrite, syncrandwrite, read, followerread, delete, tinydelete or mixed (write)
  --mix LIST             for --op mixed: write=50,read=50
  --size SIZE            bytes of an operation: 4k, 128k (4k)
  --conns N  --depth N   connections, and packets in flight on each (4, or 6 when replicated; 16)
  --seconds S            length of the measured run (10), or
  --count N              operations to do
  --warmup S             run before measuring starts (1; 0 with --count)
  --rate N               open loop: N operations a second, latency from the intended start
  --threads N            worker threads of the generator
  --extents N            extents a connection works on (1)
  --extent-size SIZE     a write goes to a new extent at this size (128m)
  --fill SIZE            how much of each extent is written before reads and random writes (64m)
  --prepare N            deletes: extents or ranges made before (the count, or 20000)
  --order WHICH          reads, random writes: random or sequential (random)
  --ids WHO              extent ids: server (RemainingFollowers 1) or self (0) (server)
  --verify               read everything back and compare; compare each read, too
  --timeout S            longest wait for a reply (5)
  --seed N               seed of the random reads (1)
  --server-pid LIST      process ids of the node: adds its CPU and memory
  --compare NAME=HOST:PORT[,PID...] ...   the same run against several nodes in turn
  --rounds N             turns of a comparison (3)
  --warm-memory          touch the machine's free memory first
  --json FILE            results as JSON
  --report FILE.html     results as a page with charts
  --scenario FILE        JSON object of flags; the command line wins
  --quiet                no progress

exit code: 0, 1 on any error or mismatch, 2 on bad flags`;
