using Flotilla.Raft;
using Flotilla.Shards.Handoff;

namespace Flotilla.Shards.Tests.Handoff;

/// <summary>Two shards without faults.</summary>
internal static class Pair
{
    /// <summary>Lets both go on, under a clock of their own, until nothing is said any more.</summary>
    public static void Run(Shard a, Shard b, long allowance = 1 << 20, Action? each = null, double msPerStep = 1)
    {
        var now = new Instant(1_000_000);
        for (var idle = 0; idle < 20; now = now.PlusMs(msPerStep))
        {
            idle++;
            foreach (var (shard, other) in ((Shard, Shard)[])[(a, b), (b, a)])
            {
                var output = new HandoffOutput();
                shard.Driver!.Step(shard.Machine, now, allowance, output);
                output.Messages.ForEach(m => other.Driver!.Receive(m.Message));
                output.Steps.ForEach(s => shard.Propose(HandoffCodec.Encode(1000, s)));
                while (shard.Waiting > 0)
                {
                    shard.Commit();
                    each?.Invoke();
                    idle = 0;
                }

                idle = output.Messages.Count > 0 ? 0 : idle;
            }
        }
    }
}
