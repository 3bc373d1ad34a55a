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

    [Fact, Trait("Hazard", "16")]
    public async Task Below_half_of_its_reserve_a_disk_is_full_and_ends_to_be_so_by_itself()
    {
        var free = 60L;
        var looks = 0;
        var log = new TestLog();
        await using var watch = new DiskWatch(new NodeId("n1"), () => Interlocked.Increment(ref looks) > 0 ? Volatile.Read(ref free) : 0, reserve: 100, _failures.Enqueue, log);
        watch.Start(static () => { });
        Assert.Equal((true, false), (watch.IsLow, watch.IsFull));
        Assert.Equal((true, false), (watch.HasRoomFor(10), watch.HasRoomFor(11)));
        Assert.DoesNotContain("keeps nothing", watch.Objection, StringComparison.Ordinal);
        Volatile.Write(ref free, 49);
        await Eventually.IsTrueAsync(() => watch.IsFull, "the disk is full");
        Assert.Contains("the disk of node n1 is nearly full", watch.Objection, StringComparison.Ordinal);
        Assert.Contains("keeps nothing that others write", watch.Objection, StringComparison.Ordinal);

        // At the limit, and within the margin above it, nothing changes.
        Volatile.Write(ref free, 61);
        var seen = Volatile.Read(ref looks);
        await Eventually.IsTrueAsync(() => Volatile.Read(ref looks) > seen + 2, "it has looked again");
        Assert.True(watch.IsFull);
        Volatile.Write(ref free, 62);
        await Eventually.IsTrueAsync(() => !watch.IsFull, "entries are kept again");
        Assert.True(watch.IsLow);
        Assert.DoesNotContain("keeps nothing", watch.Objection, StringComparison.Ordinal);
        Volatile.Write(ref free, 126);
        await Eventually.IsTrueAsync(() => !watch.IsLow, "there is room again");
        Assert.Equal([2005, 2008, 2009, 2006], log.Lines.Select(l => l.Id.Id));
    }

    private DiskWatch Watch(Func<long> freeBytes) => new(new NodeId("n1"), freeBytes, reserve: 100, _failures.Enqueue, new TestLog());
}
