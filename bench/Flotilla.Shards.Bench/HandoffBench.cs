using System.Text;
using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;

namespace Flotilla.Shards.Bench;

/// <summary>A move of slots between two state machines with nothing between them: the processor time of each end, the collector's included, in all and in single calls. Elapsed times would show what else runs on the machine.</summary>
internal static class HandoffBench
{
    private static readonly Slot[] AllSlots = [.. Enumerable.Range(0, Slot.Count).Select(i => new Slot((ushort)i))];

    public static void Move(int records, int slots, bool print)
    {
        var source = new End(1, AllSlots);
        var target = new End(2, []);
        var value = new byte[100];
        for (var i = 0; i < records; i += 100)
        {
            source.Apply(CommandCodec.Encode(1000, [.. Enumerable.Range(i, 100).Select(n => Command.Put(Encoding.ASCII.GetBytes($"key-{n * 7919L % 100_000_000_000:D12}"), value))]));
        }

        GC.Collect();
        source.Apply(HandoffCodec.Encode(1000, new HandoffStep.Begin(source.Group, new ShardId(2), target.Group, SlotEpochs.Of(SlotSet.Of(AllSlots.Take(slots)), SlotEpoch.First))));
        source.Reset();
        var now = new Instant(1_000_000);
        var bytes = 0L;
        var frozenMs = 0.0;
        var written = 0;
        while (!source.Machine.Ownership.IsSettled || !source.Machine.Ownership.ToPurge.IsEmpty)
        {
            now = now.PlusMs(1);
            var wasFrozen = !source.Machine.Ownership.Frozen.IsEmpty && target.Machine.Ownership.Slots.Count == 0;
            var before = source.StepMs + source.ApplyMs + target.StepMs + target.ApplyMs;
            bytes += source.Step(now, target);
            target.Step(now, source);
            frozenMs += wasFrozen ? source.StepMs + source.ApplyMs + target.StepMs + target.ApplyMs - before : 0;

            // A write to everything now and then, as a busy shard has.
            source.Apply(CommandCodec.Encode(1000, [.. Enumerable.Range(0, 10).Select(n => Command.Put(Encoding.ASCII.GetBytes($"key-{(written + n) * 7919L % 100_000_000_000:D12}"), value))]), measured: false);
            written += 10;
        }

        if (print)
        {
            var moved = target.Machine.Records.Count;
            Console.WriteLine($"move of {slots} slots out of {records:N0} records: {moved:N0} records, {bytes / 1e6:F1} MB; processor time");
            Console.WriteLine($"  source: driver {source.StepMs:F0} ms, longest step {source.LongestStepMs:F1} ms; apply {source.ApplyMs:F0} ms, longest {source.LongestApplyMs:F1} ms ({source.LongestApply})");
            Console.WriteLine($"  target: driver {target.StepMs:F0} ms, longest step {target.LongestStepMs:F1} ms; apply {target.ApplyMs:F0} ms, longest {target.LongestApplyMs:F1} ms ({target.LongestApply})");
            Console.WriteLine($"  work between Freeze and Accept at both ends: {frozenMs:F1} ms");
        }
    }

    private sealed class End
    {
        private readonly HandoffDriver _driver;
        private readonly HandoffOutput _output = new();

        public End(int number, Slot[] slots)
        {
            Group = new GroupId((ulong)number);
            Machine = new StateMachine(new BTree(), slots);
            Machine.Apply(new Entry(new LogIndex(1), new Term(1), EntryKind.NoOp, default), null);
            _driver = new HandoffDriver(new HandoffOptions(), new ShardId(number), Group, new Term(1));
        }

        public GroupId Group { get; }

        public StateMachine Machine { get; }

        public double StepMs { get; private set; }

        public double LongestStepMs { get; private set; }

        public double ApplyMs { get; private set; }

        public double LongestApplyMs { get; private set; }

        public string LongestApply { get; private set; } = "";

        public void Reset() => (StepMs, LongestStepMs, ApplyMs, LongestApplyMs) = (0, 0, 0, 0);

        public long Step(Instant now, End other)
        {
            _output.Clear();
            var begun = Environment.CpuUsage.TotalTime;
            _driver.Step(Machine, now, 1 << 20, _output);
            var ms = (Environment.CpuUsage.TotalTime - begun).TotalMilliseconds;
            StepMs += ms;
            LongestStepMs = Math.Max(LongestStepMs, ms);
            foreach (var step in _output.Steps)
            {
                Apply(HandoffCodec.Encode(1000, step));
            }

            _output.Messages.ForEach(m => other._driver.Receive(m.Message));
            return _output.Spent;
        }

        public void Apply(byte[] payload, bool measured = true)
        {
            var begun = Environment.CpuUsage.TotalTime;
            Machine.Apply(new Entry(Machine.LastApplied.Next, new Term(1), EntryKind.Command, payload), null);
            var ms = (Environment.CpuUsage.TotalTime - begun).TotalMilliseconds;
            if (measured && HandoffCodec.IsStep(payload))
            {
                ApplyMs += ms;
                if (ms > LongestApplyMs)
                {
                    (LongestApplyMs, LongestApply) = (ms, HandoffCodec.Decode(payload).Step.GetType().Name);
                }
            }
        }
    }
}
