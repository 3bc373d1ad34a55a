using Flotilla.Shards.ExactlyOnce;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests;

/// <summary>What the table of idempotency keys costs. By itself, since it measures the heap of the whole process.</summary>
[Collection(nameof(ByItself))]
public sealed class IdempotencyMemoryTests
{
    [Fact]
    public void A_client_that_writes_ten_thousand_a_second_for_ever_is_never_refused_and_costs_less_than_is_counted()
    {
        const int PerSecond = 10_000;
        const int LifeSeconds = 60; // The client library's is shorter.
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var table = new IdempotencyTable();
        var most = 0L;
        for (var i = 0L; i < PerSecond * LifeSeconds * 2; i++)
        {
            var now = 1000 + (i * 1000 / PerSecond);
            table.RemoveExpired(now, 1);
            var once = new Once.ByKey(B($"k3yPrefix-{i:x}"), KeyTerms.Default with { LifeMs = LifeSeconds * 1000 });
            Assert.True(table.Admits(once, Command.Delete(B("k")), default, now, out var identity, out _));
            table.Record(once, identity, default, new CommandResult(ResultCode.Ok, new Data.Version(1, 0, (ulong)i, 0), default), now);
            most = Math.Max(most, table.Count);
        }

        Assert.InRange(most, PerSecond * LifeSeconds, (PerSecond * LifeSeconds) + 1);
        var bytes = GC.GetTotalMemory(forceFullCollection: true) - before;
        Assert.True(bytes < 40 << 20 && bytes < most * IdempotencyTable.CountedBytes, $"{most} keys take {bytes} bytes, {bytes / (double)most:0.0} each.");
        TestContext.Current.SendDiagnosticMessage($"{bytes / (double)most:0.0} bytes a key");
        GC.KeepAlive(table);
    }
}

/// <summary>Tests of this collection run when no other does.</summary>
[CollectionDefinition(nameof(ByItself), DisableParallelization = true)]
public sealed class ByItself;
