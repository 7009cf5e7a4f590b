/** Admin tasks: envelope, bodies and texts (`admin.md` 5 and 6). */
import t from 'tap';
import {
  createRequest,
  decodeCreateRequest,
  decodeDeleteRequest,
  decodeLoadRequest,
  deleteResponse,
  encodeLoadResponse,
  loadResponse,
} from '../../src/protocol/adminBodies.js';
import {
  createPartitionFailed,
  decodeAdminTask,
  describeTask,
  encodeAdminResponse,
  encodeAdminTask,
  illegalTaskOpcode,
  newAdminTask,
  undecodableCreateRequest,
  wrongTaskOpcode,
} from '../../src/protocol/adminTask.js';
import {
  decodeHeartbeatResponse,
  heartbeatRequest,
  heartbeatResponse,
} from '../../src/protocol/heartbeat.js';
import { decodeValue } from '../../src/protocol/jsonCodec.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodePacket } from '../../src/protocol/packet.js';
import { resultCodeFor } from '../../src/protocol/resultCodes.js';
import { SnapshotText } from '../../src/protocol/snapshotText.js';
import { headerOf, hex, recordedResponses, unhex, utf8, wireVector } from './vectors.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);

const HEARTBEAT = newAdminTask(99, '10.0.0.1:17310', undefined, 1573600000, {
  CurrTime: 1573600000,
  MasterAddr: '10.0.0.9:17010',
});

t.test('a heartbeat task is the packet of the worked example', async (t) => {
  const { header, hex: packet } = wireVector('M1');
  t.equal(hex(encodePacket(headerOf(header), new Uint8Array(0), encodeAdminTask(HEARTBEAT))), packet);
  t.equal(
    heartbeatRequest.encode({ currTime: 1573600000, masterAddr: '10.0.0.9:17010' }),
    JSON.stringify(HEARTBEAT.request),
  );
  const parsed = decodeAdminTask(unhex(wireVector('M1').body));
  t.same(parsed, { ok: true, value: HEARTBEAT });
});

t.test('a partition task carries the partition in its id', async (t) => {
  const task = newAdminTask(96, '10.0.0.1:17310', 42, 1573600000, null);
  t.equal(task.id, 'addr[10.0.0.1:17310]_op[96]_DataPartitionID[42]');
  t.equal(task.partitionId, 42);
});

t.test('the heartbeat response is the object of the specification, byte for byte', async (t) => {
  const body = encodeAdminResponse({ ...HEARTBEAT, sendTime: 1573600002 }, heartbeatResponse, {
    total: 1968526655488,
    used: 104857600,
    available: 1968421797888,
    totalPartitionSize: 128849018880,
    remainingCapacity: 1839677636608,
    createdPartitionCount: 1,
    maxCapacity: 1839677636608,
    rackName: 'rack-01',
    cellName: '',
    zoneName: '',
    partitionReports: [
      {
        volume: 'vol1',
        partitionId: 42,
        status: 2,
        total: 128849018880,
        used: 73728,
        diskPath: '/cfs/disk',
        isLeader: true,
        extentCount: 66,
        needCompare: true,
      },
    ],
    status: 1,
    result: '',
    badDisks: [],
  });
  t.equal(
    utf8(body),
    '{"ID":"addr[10.0.0.1:17310]_op[99]","PartitionID":0,"OpCode":99,"OperatorAddr":"10.0.0.1:17310",' +
      '"Status":0,"SendTime":1573600002,"CreateTime":1573600000,"SendCount":0,' +
      '"Request":{"CurrTime":1573600000,"MasterAddr":"10.0.0.9:17010"},' +
      '"Response":{"Total":1968526655488,"Used":104857600,"Available":1968421797888,' +
      '"TotalPartitionSize":128849018880,"RemainingCapacity":1839677636608,"CreatedPartitionCnt":1,' +
      '"MaxCapacity":1839677636608,"RackName":"rack-01",' +
      '"PartitionReports":[{"VolName":"vol1","PartitionID":42,"PartitionStatus":2,"Total":128849018880,' +
      '"Used":73728,"DiskPath":"/cfs/disk","IsLeader":true,"ExtentCount":66,"NeedCompare":true}],' +
      '"Status":1,"Result":"","BadDisks":[]}}',
  );
});

t.test('recorded responses of nodes decode and encode to the same text', async (t) => {
  let heartbeats = 0;
  for (const text of recordedResponses()) {
    const task = decodeAdminTask(bytes(text));
    if (!task.ok) {
      t.fail(task.message);
      continue;
    }
    const heartbeat = task.value.opcode === 99;
    heartbeats += heartbeat ? 1 : 0;
    const again = heartbeat
      ? encodeAgain(decodeHeartbeatResponse(task.value.response), (value) =>
          encodeAdminResponse(task.value, heartbeatResponse, value),
        )
      : encodeAgain(decodeValue(loadResponse, task.value.response), (value) =>
          encodeAdminResponse(task.value, loadResponse, value),
        );
    t.equal(again, text);
  }
  t.equal(heartbeats, 3);
});

t.test('a load response around a list of bytes is the one with a list of files', async (t) => {
  const request = { PartitionId: 3, note: '\0,"PartitionSnapshot":[],' };
  const task = newAdminTask(OP.loadDataPartition, '10.0.0.1:17310', 3, 1573600000, request);
  const rest = { partitionId: 3, usedBytes: 9, status: 1, partitionStatus: -1, result: 'a\0b', volume: 'v' };
  for (const snapshot of [[], [{ name: '1025', crc: 0xffff_ffff, size: 5, modified: 1573600000 }]]) {
    const files = new SnapshotText();
    for (const { name, crc, size, modified } of snapshot) files.add(Number(name), crc, size, modified);
    t.equal(
      utf8(encodeLoadResponse(task, rest, files.finish())),
      utf8(encodeAdminResponse(task, loadResponse, { ...rest, snapshot })),
    );
  }
});

function encodeAgain<T>(
  decoded: { ok: true; value: T } | { ok: false; message: string },
  encode: (value: T) => Uint8Array,
): string {
  return decoded.ok ? utf8(encode(decoded.value)) : decoded.message;
}

t.test('a create request decodes in any case of its keys and is validated', async (t) => {
  const request = {
    partitionid: 42,
    partitionsize: 128849018880,
    volumeid: 'vol1',
    members: [{ ID: 2, ADDR: '10.0.0.1:17310' }],
    hosts: ['10.0.0.1:17310'],
    createtype: 1,
  };
  t.same(decodeCreateRequest(request), {
    ok: true,
    value: {
      partitionType: '',
      partitionId: 42,
      sizeBytes: 128849018880,
      volume: 'vol1',
      isRandomWrite: false,
      members: [{ id: 2, addr: '10.0.0.1:17310' }],
      hosts: ['10.0.0.1:17310'],
      createType: 1,
    },
  });
  const refusals: [object, string][] = [
    [{ partitionid: 0 }, 'PartitionId: must not be 0'],
    [{ partitionsize: 0 }, 'PartitionSize: must not be 0'],
    [{ partitionsize: -5 }, 'PartitionSize: must be an integer from 0 to 9007199254740991'],
    [{ volumeid: '  ' }, 'VolumeId: must not be blank'],
    [{ createtype: 2 }, 'CreateType: must be 0 or 1'],
    [{ hosts: Array(65).fill('a:1') }, 'Hosts: must be an array of at most 64'],
    [{ members: [{ id: 'x' }] }, 'Members[0].id: must be an integer from 0 to 9007199254740991'],
  ];
  for (const [change, message] of refusals) {
    t.same(decodeCreateRequest({ ...request, ...change }), { ok: false, message });
  }
  t.notOk(decodeCreateRequest('text').ok);
});

t.test('a create request is spelt as the master spells it', async (t) => {
  const text = createRequest.encode({
    partitionType: '',
    partitionId: 1,
    sizeBytes: 10737418240,
    volume: 'vol1',
    isRandomWrite: false,
    members: [{ id: 2, addr: '127.0.0.12:17312' }],
    hosts: ['127.0.0.12:17312'],
    createType: 0,
  });
  t.equal(
    text,
    '{"PartitionType":"","PartitionId":1,"PartitionSize":10737418240,"VolumeId":"vol1","IsRandomWrite":false,' +
      '"Members":[{"id":2,"addr":"127.0.0.12:17312"}],"Hosts":["127.0.0.12:17312"],"CreateType":0}',
  );
});

t.test('delete and load requests need the id only', async (t) => {
  t.match(decodeDeleteRequest({ PartitionId: 7 }), { ok: true, value: { partitionId: 7 } });
  t.match(decodeLoadRequest({ partitionID: 7 }), { ok: true, value: { partitionId: 7 } });
  t.notOk(decodeLoadRequest({ PartitionId: 2 ** 53 }).ok);
  t.equal(
    deleteResponse.encode({ status: 1, result: '', partitionId: 7 }),
    '{"Status":1,"Result":"","PartitionId":7}',
  );
});

t.test('a load response has an array even when there is nothing', async (t) => {
  t.equal(
    loadResponse.encode({
      partitionId: 3,
      usedBytes: 0,
      snapshot: [],
      status: 1,
      partitionStatus: -1,
      result: '',
      volume: '',
    }),
    '{"PartitionId":3,"Used":0,"PartitionSnapshot":[],"Status":1,"PartitionStatus":-1,"Result":"","VolName":""}',
  );
});

t.test('refusals of tasks are spelt as in the reference and name the task', async (t) => {
  const task = { ...newAdminTask(99, 'n:1', undefined, 0, {}), id: 'y' };
  t.equal(describeTask(task), 'ID[y] Status[0] LastSendTime[0]  SendCount[0] Request[{}] Response[<nil>]');
  const prefix = `from master Task(${describeTask(task)}) `;
  t.equal(wrongTaskOpcode(task), `${prefix}failed,error unavali opcode(99)`);
  t.equal(undecodableCreateRequest(task), `${prefix}cannot unmash CreateDataPartitionRequest struct`);
  t.equal(createPartitionFailed(task, 'file exists'), `${prefix}cannot create Partition err(file exists)`);
  t.equal(illegalTaskOpcode(task), 'illegal opcode 99');
  t.equal(resultCodeFor('ActionCreateDataPartition', createPartitionFailed(task, 'try again')), 0xf9);
});

t.test('what is no task is a message', async (t) => {
  t.same(decodeAdminTask(bytes('{nope}')), {
    ok: false,
    message: "invalid character 'n' looking for beginning of object key string",
  });
  t.same(decodeAdminTask(bytes('{"OpCode":300}')), {
    ok: false,
    message: 'OpCode: must be an integer from 0 to 255',
  });
  t.same(decodeAdminTask(bytes('[1]')), { ok: false, message: 'body: must be an object' });
});
