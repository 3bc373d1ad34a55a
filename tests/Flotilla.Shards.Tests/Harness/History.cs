using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Shards.Tests.Harness;

/// <summary>Draws entries from a seed: every command, with and without sessions and idempotency keys, old ones too, and leaps of time.</summary>
internal sealed class History(ulong seed)
{
    private readonly SessionTerms _sessionTerms = new(IdleMs: 200, Window: 10, MaxSessions: 12, MaxResults: 16);
    private readonly KeyTerms _keyTerms = new(LifeMs: 150, MaxBytes: 1000);
    private readonly List<SessionId> _sessions = [new(new LogIndex(3), 1)];
    private readonly Dictionary<SessionId, ulong> _sequences = [];
    private SplitMix64 _random = new(seed);
    private long _stampMs = 1_700_000_000_000;

    /// <summary>A few slots that the keys here fall into are not owned.</summary>
    public static Slot[] OwnedSlots { get; } = [.. Words.AllSlots.Where(s => s.Value % 7 != 3)];

    /// <summary>The entry after <paramref name="last"/>.</summary>
    public Entry Next(LogIndex last, StateMachine machine)
    {
        _stampMs += _random.Chance(0.01) ? 300 : _random.Below(12);
        var term = new Term(1 + (last.Value / 50));
        if (_random.Chance(0.05))
        {
            return new Entry(last.Next, term, EntryKind.NoOp, default);
        }

        var commands = new Command[_random.Below(5)];
        foreach (ref var command in commands.AsSpan())
        {
            command = NextCommand(machine);
        }

        return new Entry(last.Next, term, EntryKind.Command, CommandCodec.Encode(_stampMs, commands));
    }

    /// <summary>Takes note of the sessions that an entry opened.</summary>
    public void Applied(IEnumerable<CommandResult> results)
    {
        foreach (var result in results)
        {
            if (result.Code == ResultCode.Ok && result.Version is { SlotEpoch: 0, Counter: > 0 })
            {
                _sessions.Add(SessionId.Of(in result));
            }
        }
    }

    private Command NextCommand(StateMachine machine)
    {
        if (_random.Chance(0.06))
        {
            return Words.Opening(_sessionTerms with { IdleMs = 100 + _random.Below(300) });
        }

        var session = _sessions[Math.Max(0, _sessions.Count - 1 - (int)_random.Below(12))];
        if (_random.Chance(0.01))
        {
            return Command.CloseSession(session);
        }

        var command = Plain(machine);
        if (_random.Chance(0.5))
        {
            var next = _sequences.GetValueOrDefault(session);
            var sequence = _random.Chance(0.3) ? next - Math.Min(next, (ulong)_random.Below(8)) : _sequences[session] = next + (ulong)_random.Below(3);
            return command.In(session, sequence, sequence - Math.Min(sequence, (ulong)_random.Below(7)), _random.Chance(0.2));
        }

        if (!_random.Chance(0.3))
        {
            return command;
        }

        var id = _random.Below(25);
        return command.Under($"id-{id}", _keyTerms with { LifeMs = _keyTerms.LifeMs + (id % 3 * 50) });
    }

    private Command Plain(StateMachine machine)
    {
        var key = Words.B($"k{_random.Below(30)}");
        var ttlMs = _random.Chance(0.4) ? 1 + _random.Below(200) : 0;
        var value = new byte[_random.Chance(0.02) ? 400_000 : _random.Below(12)];
        value.AsSpan().Fill((byte)('0' + _random.Below(10)));
        return _random.Below(7) switch
        {
            0 or 1 => Command.Put(key, value, ttlMs),
            2 => Command.PutIfAbsent(key, value, ttlMs),
            3 => Command.Delete(key),
            4 => Command.CompareAndSwap(key, machine.Get(key).Version, value, ttlMs),
            5 => Command.CompareAndDelete(key, machine.Get(key).Version),
            _ => Command.Increment(key, _random.Below(9) - 4),
        };
    }
}
