/** The worker of a simulated node: the production's stores, as `StoreRig` runs them, with operations that tell their end and a disk that may be full or fail. */
import type { Operation } from '../../../src/partition/operation.js';
import { isDiskError } from '../../../src/storage/diskErrors.js';
import { type Sent, StoreRig } from '../../partition/storeRig.js';
import type { SimRaft } from './simRaft.js';

export class SimWorker extends StoreRig {
  readonly ends = new Map<Operation, { sent: Sent; ended(sent: Sent): void; assigned(sent: Sent): void }>();
  raft: Pick<SimRaft, 'executeConfirmed'> | null = null;
  /** The disk was taken out of service. */
  failed: () => void = () => {};

  override turn(): boolean {
    const reads = this.raft?.executeConfirmed() === true;
    return super.turn() || reads;
  }

  override finish(op: Operation): void {
    super.finish(op);
    this.#tell(op);
  }

  override fail(op: Operation, action: string, message: string): void {
    super.fail(op, action, message);
    this.#tell(op);
  }

  override assigned(op: Operation, loan: number): void {
    super.assigned(op, loan);
    const end = this.ends.get(op)!;
    end.assigned(end.sent);
  }

  /** As the production's worker has it. */
  override diskError(errno: number, writing: boolean): void {
    super.diskError(errno, writing);
    if (!isDiskError(errno) || this.health.status === -1) return;
    this.health.status = -1;
    this.failed();
  }

  /** A look at the disk's space: how much there is for files to grow. */
  lookAtSpace(freeBytes: number): void {
    const { space } = this.health;
    space.beginLook();
    space.endLook(freeBytes);
  }

  #tell(op: Operation): void {
    const end = this.ends.get(op);
    this.ends.delete(op);
    end?.ended(end.sent);
  }
}
