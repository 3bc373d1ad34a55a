using Flotilla.Node.Loops;
using Flotilla.Raft;

namespace Flotilla.Node.Tests.Parts;

public sealed class InboxTests
{
    [Fact]
    public void A_batch_holds_everything_that_waited_in_order()
    {
        var inbox = Make(1000, 1 << 20);
        for (ulong i = 0; i < 600; i++)
        {
            Assert.Equal(Posted.Taken, inbox.TryPostCall(Input(i), 10));
        }

        Assert.Equal(Enumerable.Range(0, 600).Select(i => (ulong)i), Numbers(inbox.Take(0)));
        Assert.Empty(Numbers(inbox.Take(0)));
    }

    [Fact]
    public void Over_the_bounds_calls_are_refused_and_reports_are_not()
    {
        var few = Make(2, 1 << 20);
        Assert.Equal(Posted.Taken, few.TryPostCall(Input(1), 10));
        Assert.Equal(Posted.Taken, few.TryPostCall(Input(2), 10));
        Assert.Equal(Posted.Full, few.TryPostCall(Input(3), 10));
        Assert.True(few.Post(Input(4)));
        Assert.Equal([1UL, 2, 4], Numbers(few.Take(0)));
        Assert.Equal(Posted.Taken, few.TryPostCall(Input(5), 10));

        var small = Make(100, 100);
        Assert.Equal(Posted.Taken, small.TryPostCall(Input(1), 1000));
        Assert.Equal(Posted.Full, small.TryPostCall(Input(2), 1));
        small.Take(0);
        Assert.Equal(Posted.Taken, small.TryPostCall(Input(3), 60));
        Assert.Equal(Posted.Full, small.TryPostCall(Input(4), 60));
    }

    [Fact]
    public void Calls_that_fill_their_bound_take_no_room_from_messages_nor_messages_from_calls()
    {
        var inbox = new Inbox(new InboxBound(2, 100), new InboxBound(3, 1000));
        Assert.Equal(Posted.Taken, inbox.TryPostCall(Input(1), 90));
        Assert.Equal(Posted.Full, inbox.TryPostCall(Input(2), 90));
        Assert.Equal(Posted.Taken, inbox.TryPostMessage(Input(3), 2000));
        Assert.Equal(Posted.Full, inbox.TryPostMessage(Input(4), 1));
        Assert.Equal(Posted.Taken, inbox.TryPostCall(Input(5), 10));
        Assert.Equal(Posted.Full, inbox.TryPostCall(Input(6), 0));
        Assert.Equal([1UL, 3, 5], Numbers(inbox.Take(0)));
        Assert.Equal(Posted.Taken, inbox.TryPostCall(Input(7), 90));
        Assert.Equal(Posted.Taken, inbox.TryPostMessage(Input(8), 900));
        Assert.Equal(Posted.Taken, inbox.TryPostMessage(Input(9), 100));
    }

    [Fact]
    public void A_closed_inbox_gives_back_what_waits_and_takes_nothing_more()
    {
        var inbox = Make(10, 1000);
        inbox.Post(Input(1));
        Assert.Equal([1UL], inbox.Close().Select(i => i.Number));
        Assert.Equal(Posted.Closed, inbox.TryPostCall(Input(2), 1));
        Assert.Equal(Posted.Closed, inbox.TryPostMessage(Input(2), 1));
        Assert.False(inbox.Post(Input(3)));
        inbox.PostAll([Input(4)]);
        Assert.Empty(Numbers(inbox.Take(0)));
    }

    [Fact]
    public async Task Nothing_that_many_threads_post_is_lost_and_a_sleeping_reader_is_woken()
    {
        const int Writers = 4;
        const int Each = 20_000;
        var inbox = Make(int.MaxValue, long.MaxValue);
        var writers = Enumerable.Range(0, Writers).Select(w => Task.Run(() =>
        {
            for (var i = 0; i < Each; i++)
            {
                inbox.TryPostCall(Input(((ulong)w << 32) | (uint)i), 1);
            }
        })).ToArray();
        var next = new ulong[Writers];
        var seen = 0;
        while (seen < Writers * Each)
        {
            // Were a wakeup lost, this would sleep far beyond the test's own limit.
            foreach (var input in inbox.Take(60_000))
            {
                var writer = (int)(input.Number >> 32);
                Assert.Equal(next[writer]++, input.Number & uint.MaxValue);
                seen++;
            }
        }

        await Task.WhenAll(writers);
    }

    [Fact]
    public void A_wake_ends_one_wait_even_if_it_came_before()
    {
        var inbox = Make(10, 10);
        inbox.Wake();
        Assert.Equal(0, inbox.Take(60_000).Length);
    }

    private static Inbox Make(int maxItems, long maxBytes) => new(new InboxBound(maxItems, maxBytes), new InboxBound(maxItems, maxBytes));

    private static LoopInput Input(ulong number) => new(LoopInputKind.Persisted, null, null, default(NodeId), number);

    private static ulong[] Numbers(ReadOnlySpan<LoopInput> inputs)
    {
        var numbers = new ulong[inputs.Length];
        for (var i = 0; i < inputs.Length; i++)
        {
            numbers[i] = inputs[i].Number;
        }

        return numbers;
    }
}
