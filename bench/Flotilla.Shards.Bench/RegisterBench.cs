using System.Diagnostics;
using System.Text;
using Flotilla.Data;
using Flotilla.Registers;
using Flotilla.Registers.Epochs;
using Flotilla.Shards.Epochs;
using Flotilla.Topology;

namespace Flotilla.Shards.Bench;

/// <summary>
/// Three register replicas with nothing between them but the bytes of their messages, and disks that cost nothing: the processor time of all three, the collector's included.
/// </summary>
internal static class RegisterBench
{
    private const int Voters = 3;
    private const int InFlight = 64;

    private static readonly SlotEpochs AllSlots = SlotEpochs.Of(SlotSet.Of([.. Enumerable.Range(0, Slot.Count).Select(i => new Slot((ushort)i))]), SlotEpoch.First);

    public static void Run(RegisterKind kind, int keys, bool print)
    {
        var nodes = Enumerable.Range(0, Voters).Select(i => new Node(new Voter((ushort)i), kind)).ToArray();
        Pump(nodes);
        var value = new byte[100];
        var calls = 0UL;
        var put = Measure(() =>
        {
            for (var i = 0; i < keys; i += InFlight)
            {
                for (var n = i; n < Math.Min(keys, i + InFlight); n++)
                {
                    nodes[n % Voters].Step(new RegisterInput.Write(new CallId(++calls), Encoding.ASCII.GetBytes($"key-{n * 7919L % 100_000_000_000:D12}"), false, value, 0, long.MaxValue));
                }

                Pump(nodes);
            }
        });
        var get = Measure(() =>
        {
            for (var i = 0; i < keys; i += InFlight)
            {
                for (var n = i; n < Math.Min(keys, i + InFlight); n++)
                {
                    nodes[(n + 1) % Voters].Step(new RegisterInput.Get(new CallId(++calls), Encoding.ASCII.GetBytes($"key-{n * 7919L % 100_000_000_000:D12}"), long.MaxValue));
                }

                Pump(nodes);
            }
        });
        var bytes = nodes.Sum(n => n.BytesSent);
        var merge = Measure(() =>
        {
            foreach (var node in nodes)
            {
                node.Apply(new EpochStep.Seal(new RegisterEpoch(1)), 2);
            }

            nodes[0].Step(new RegisterInput.Merge(new RegisterEpoch(1), kind == RegisterKind.Quorum ? 2 : Voters));
            while (!nodes.All(n => n.HasEnded))
            {
                Pump(nodes);
            }
        });
        if (nodes.Any(n => n.Records != keys) || nodes.Sum(n => (long)n.Answered) != 2L * keys)
        {
            throw new InvalidOperationException($"{keys} keys were written, and {string.Join(", ", nodes.Select(n => n.Records))} are there; {nodes.Sum(n => n.Answered)} answers.");
        }

        if (print)
        {
            Console.WriteLine($"{kind}, {Voters} voters, {keys:N0} keys, processor time of all three: put {put * 1000 / keys:F1} us, get {get * 1000 / keys:F1} us, ending the epoch {merge:F0} ms; {bytes / (2.0 * keys):F0} bytes sent for each call");
        }
    }

    private static double Measure(Action action)
    {
        GC.Collect();
        using var process = Process.GetCurrentProcess();
        var before = process.TotalProcessorTime;
        action();
        process.Refresh();
        return (process.TotalProcessorTime - before).TotalMilliseconds;
    }

    private static void Pump(Node[] nodes)
    {
        while (nodes.Any(static n => n.HasWork))
        {
            foreach (var node in nodes)
            {
                node.Turn(nodes);
            }
        }
    }

    private sealed class Node : IMergeTarget
    {
        private readonly BTree _records = new();
        private readonly Queue<(Voter From, byte[] Message)> _inbox = new();
        private readonly RegisterReplica _replica = new(new RegisterOptions { CompareMs = 1e9, RetryMs = 1e9, SlowRetryMs = 1e9 }, 1, new RegisterRecovery());
        private readonly EpochLog _log;
        private readonly Voter _self;
        private bool _isStirred;

        public Node(Voter self, RegisterKind kind)
        {
            _self = self;
            _log = new EpochLog(this, EpochState.None);
            Apply(new EpochStep.Open(kind, [.. Enumerable.Range(0, Voters).Select(i => $"v{i}")]), 1);
        }

        public bool HasWork => _isStirred || _inbox.Count > 0;

        public bool HasEnded { get; private set; }

        public int Answered { get; private set; }

        public long BytesSent { get; private set; }

        public long Records => _records.Count;

        public void Step(RegisterInput input)
        {
            _replica.Step(input, new Clocks(0, 1_000_000));
            _isStirred = true;
        }

        public void Apply(EpochStep step, ulong index)
        {
            switch (_log.Apply(step, index, mayOpen: true))
            {
                case EpochChange.Opened:
                    Step(new RegisterInput.Open(_log.TermsFor(_self.ToString(), AllSlots, _records.Snapshot(), 0)));
                    break;
                case EpochChange.Sealed:
                    Step(new RegisterInput.Seal(new RegisterEpoch(1), index));
                    break;
                case EpochChange.Ended:
                    Step(new RegisterInput.End(new RegisterEpoch(1), index, _log));
                    _log.Forget();
                    HasEnded = true;
                    break;
                default:
                    break;
            }
        }

        public void Turn(Node[] nodes)
        {
            while (_inbox.TryDequeue(out var received))
            {
                Step(new RegisterInput.Received(received.From, RegisterMessageCodec.Decode(received.Message)));
            }

            while (_isStirred)
            {
                _isStirred = false;
                foreach (var effect in _replica.TakeEffects())
                {
                    Carry(effect, nodes);
                }
            }
        }

        public Data.Version VersionOf(ReadOnlySpan<byte> key) => _records.TryGet(key, out var record) ? record.Version : default;

        public void Put(in Item item) => _records.Put(item.Key.Span, item.Value.Span, item.Stamp.Version, item.ExpiresAtMs);

        public void Remove(ReadOnlyMemory<byte> key) => _records.Remove(key.Span);

        private void Carry(RegisterEffect effect, Node[] nodes)
        {
            switch (effect)
            {
                case RegisterEffect.Persist persist:
                    _ = RegisterRecordCodec.Encode(persist.Records);
                    Step(new RegisterInput.Persisted(persist.Number));
                    break;
                case RegisterEffect.Send send:
                    var bytes = RegisterMessageCodec.Encode(send.Message);
                    BytesSent += bytes.Length;
                    nodes[send.To.Number]._inbox.Enqueue((_self, bytes));
                    break;
                case RegisterEffect.Answered { Answer: RegisterAnswer.Written or RegisterAnswer.Found }:
                    Answered++;
                    break;
                case RegisterEffect.Merged merged:
                    foreach (var node in nodes)
                    {
                        node.Apply(new EpochStep.Merge(merged.Epoch, merged.Items, merged.IsLast), 3);
                    }

                    Step(new RegisterInput.MergeOn(merged.Epoch));
                    break;
                default:
                    throw new InvalidOperationException($"{effect}");
            }
        }
    }
}
