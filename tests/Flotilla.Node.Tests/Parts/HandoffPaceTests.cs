using Flotilla.Node.Members;
using Flotilla.Raft;

namespace Flotilla.Node.Tests.Parts;

public sealed class HandoffPaceTests
{
    private readonly HandoffPace _pace = new(cores: 2);
    private Instant _now = new(1_000_000_000);
    private long _calls;

    [Fact]
    public void Slots_move_fast_while_nobody_uses_the_node_and_slowly_while_clients_do()
    {
        Run(seconds: 1, callsPerSecond: 0);
        Assert.InRange(Run(seconds: 1, callsPerSecond: 0), HandoffPace.IdleBytesPerSecond * 0.99, HandoffPace.IdleBytesPerSecond * 1.01);
        Run(seconds: 1, callsPerSecond: 5000);
        Assert.InRange(Run(seconds: 1, callsPerSecond: 5000), HandoffPace.BusyBytesPerSecond * 1.99, HandoffPace.BusyBytesPerSecond * 2.01);
        Run(seconds: 1, callsPerSecond: 20);
        Assert.InRange(Run(seconds: 1, callsPerSecond: 20), HandoffPace.IdleBytesPerSecond * 0.99, HandoffPace.IdleBytesPerSecond * 1.01);
    }

    [Fact]
    public void What_was_not_sent_in_time_is_not_made_up_for()
    {
        Run(seconds: 1, callsPerSecond: 5000);
        _now = _now.PlusMs(60_000);
        Assert.True(_pace.Take(_calls, _now) <= HandoffPace.BusyBytesPerSecond / 10);
    }

    private double Run(int seconds, int callsPerSecond)
    {
        var sent = 0L;
        for (var i = 0; i < seconds * 100; i++)
        {
            _now = _now.PlusMs(10);
            _calls += callsPerSecond / 100;
            sent += _pace.Take(_calls, _now);
        }

        return sent / (double)seconds;
    }
}
