using Flotilla.Node.Gateways;
using Flotilla.Shards;
using Flotilla.Topology;

namespace Flotilla.Node.Tests.Parts;

public sealed class WriteSessionTests
{
    [Theory]
    [InlineData(0UL)]
    [InlineData(63UL)]
    [InlineData(4095UL)]
    [InlineData((1UL << 34) + 17)]
    public void The_mark_is_the_first_sequence_without_an_answer(ulong first)
    {
        var session = New(first);
        var random = new Random((int)(first % 1000));
        var open = new SortedSet<ulong>();
        var next = first;
        for (var step = 0; step < 50_000; step++)
        {
            if (random.Next(100) < 51)
            {
                var mark = open.Count == 0 ? next : open.Min;
                var once = session.TryBegin(out _);
                if (next - mark >= WriteSession.Window)
                {
                    Assert.Null(once);
                    continue;
                }

                Assert.Equal(new Once.InSession(session.Id, next, mark), once);
                open.Add(next++);
            }
            else if (open.Count > 0)
            {
                // Most often one of the first, so that the window moves.
                var ended = random.Next(3) == 0 ? open.ElementAt(random.Next(open.Count)) : open.Min;
                open.Remove(ended);
                session.End(ended);
            }
        }
    }

    [Fact]
    public void A_window_of_answers_in_any_order_makes_room_for_another_window()
    {
        var session = New(5);
        var order = Enumerable.Range(5, WriteSession.Window).Select(i => (ulong)i).ToArray();
        for (var round = 0; round < 3; round++)
        {
            var begun = order.Select(_ => (session.TryBegin(out var halfFull)!.Sequence, halfFull)).ToArray();
            Assert.Equal(WriteSession.Window, begun.Distinct().Count());
            Assert.Equal(WriteSession.Window / 2, begun.Count(b => b.halfFull));
            Assert.Null(session.TryBegin(out _));
            Assert.False(session.HasRoom);
            Random.Shared.Shuffle(begun);
            foreach (var (sequence, _) in begun)
            {
                session.End(sequence);
            }

            Assert.True(session.HasRoom);
        }
    }

    [Fact]
    public void A_forgotten_session_hands_out_nothing()
    {
        var session = New(1);
        Assert.True(session.Forget());
        Assert.False(session.Forget());
        Assert.Null(session.TryBegin(out _));
        Assert.False(session.HasRoom);
    }

    [Fact]
    public void First_sequences_lie_far_apart()
    {
        var drawn = Enumerable.Range(0, 100).Select(_ => WriteSession.DrawFirst() / WriteSession.Window).ToArray();
        Assert.Equal(drawn.Length, drawn.Distinct().Count());
    }

    private static WriteSession New(ulong first) => new(new ShardId(1), new SessionId(new(7), 2), first);
}
