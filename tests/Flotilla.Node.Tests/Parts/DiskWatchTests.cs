using System.Collections.Concurrent;
using Flotilla.Node.Loops;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;

namespace Flotilla.Node.Tests.Parts;

public sealed class DiskWatchTests
{
    private readonly ConcurrentQueue<Exception> _failures = new();

    public static TheoryData<Type> WhatADiskMayThrow => [typeof(UnauthorizedAccessException), typeof(ObjectDisposedException), typeof(IOException), typeof(InvalidOperationException)];

    [Theory, Trait("Hazard", "16"), MemberData(nameof(WhatADiskMayThrow))]
    public async Task Whatever_a_disk_throws_that_is_asked_for_its_free_space_ends_the_node_once_and_the_watch(Type type)
    {
        var looks = 0;
        await using var watch = Watch(() =>
        {
            // The first look finds room: it is the timer's that fails.
            return Interlocked.Increment(ref looks) == 1 ? 1000 : throw (Exception)Activator.CreateInstance(type, "what the disk said")!;
        });
        watch.Start(static () => { });
        await Eventually.IsTrueAsync(() => !_failures.IsEmpty, "the failure is told");
        Assert.Contains("what the disk said", Assert.IsType<NodeFailedException>(_failures.Single()).Message, StringComparison.Ordinal);
        await watch.DisposeAsync();
        Assert.Equal(2, looks);
        Assert.Single(_failures);
    }

    [Fact]
    public async Task A_failure_to_hand_over_is_told_too()
    {
        await using var watch = Watch(static () => 10);
        watch.Start(static () => throw new ArithmeticException("no heir"));
        Assert.Contains("no heir", Assert.IsType<NodeFailedException>(Assert.Single(_failures)).Message, StringComparison.Ordinal);
        Assert.True(watch.IsLow);
    }

    [Fact]
    public async Task A_low_disk_objects_in_words_until_there_is_a_margin_of_room()
    {
        var free = 99L;
        await using var watch = Watch(() => Volatile.Read(ref free));
        Assert.Null(watch.Objection);
        watch.Start(static () => { });
        Assert.Contains("the disk of node n1 is nearly full", watch.Objection, StringComparison.Ordinal);
        Volatile.Write(ref free, 126);
        await Eventually.IsTrueAsync(() => !watch.IsLow, "there is room again");
        Assert.Null(watch.Objection);
        Assert.Empty(_failures);
    }

    private DiskWatch Watch(Func<long> freeBytes) => new(new NodeId("n1"), freeBytes, reserve: 100, _failures.Enqueue, new TestLog());
}
