using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Shards.Tests.Image;
using Flotilla.Topology;

namespace Flotilla.Shards.Tests.Handoff;

/// <summary>
/// One shard as a log that somebody leads: what is proposed waits, is committed in its order, and is lost with the leader unless
/// it was. A second replica follows behind, from images now and then, and must agree.
/// </summary>
internal sealed class Shard
{
    private readonly HandoffOptions _options;
    private readonly List<(byte[] Payload, Action<List<CommandResult>?> Then)> _waiting = [];
    private readonly List<Entry> _log = [];
    private StateMachine _follower;

    public Shard(int number, HandoffOptions options, IReadOnlyList<Slot> slots)
    {
        _options = options;
        Id = new ShardId(number);
        Group = new GroupId(100 + (ulong)number);
        Machine = new StateMachine(new BTree(), slots);
        _follower = new StateMachine(new BTree(), slots);
        Elect();
    }

    public ShardId Id { get; }

    public GroupId Group { get; }

    /// <summary>What is committed, applied.</summary>
    public StateMachine Machine { get; private set; }

    public Term Term { get; private set; }

    /// <summary>The leader's; null while nobody leads.</summary>
    public HandoffDriver? Driver { get; private set; }

    public int Waiting => _waiting.Count;

    /// <summary>The options of each leader's driver.</summary>
    public Func<HandoffOptions, HandoffOptions> Vary { get; set; } = o => o;

    /// <summary>Told of every step that is applied.</summary>
    public Action<HandoffStep, LogIndex> Applied { get; set; } = (_, _) => { };

    /// <summary>Nobody leads any more. So many of the waiting entries are committed by the next leader; of the others nobody hears again.</summary>
    public HandoffDriver? Depose(int committed)
    {
        for (; committed > 0 && _waiting.Count > 0; committed--)
        {
            Commit(answers: false);
        }

        _waiting.Clear();
        var old = Driver;
        Driver = null;
        return old;
    }

    public void Elect()
    {
        Term = Term.Next;
        Append(new Entry(Machine.LastApplied.Next, Term, EntryKind.NoOp, default), null);
        Driver = new HandoffDriver(Vary(_options), Id, Group, Term);
    }

    /// <summary>False if nobody leads: then nothing was proposed.</summary>
    public bool Propose(byte[] payload, Action<List<CommandResult>?>? then = null)
    {
        if (Driver is null)
        {
            return false;
        }

        _waiting.Add((payload, then ?? (_ => { })));
        return true;
    }

    /// <summary>Commits and applies the oldest entry that waits.</summary>
    public void Commit(bool answers = true)
    {
        var (payload, then) = _waiting[0];
        _waiting.RemoveAt(0);
        var results = new List<CommandResult>();
        Append(new Entry(Machine.LastApplied.Next, Term, EntryKind.Command, payload), results);
        if (answers)
        {
            then(results);
        }

        if (HandoffCodec.IsStep(payload))
        {
            Applied(HandoffCodec.Decode(payload).Step, Machine.LastApplied);
        }
    }

    /// <summary>The follower catches up to some entry, or is made anew from an image; caught up, it must be equal.</summary>
    public void Follow(int entries, bool fromImage)
    {
        if (fromImage)
        {
            _follower = Images.Restored(Machine);
        }

        foreach (var entry in _log.Skip((int)_follower.LastApplied.Value).Take(entries))
        {
            _follower.Apply(in entry, null);
        }

        if (_follower.LastApplied == Machine.LastApplied)
        {
            Assert.Equal(Machine.StateDigest(), _follower.StateDigest());
        }
    }

    /// <summary>What the leader has applied now, for one that will not know that it leads no more.</summary>
    public StateMachine Copy() => Images.Restored(Machine);

    private void Append(Entry entry, List<CommandResult>? results)
    {
        _log.Add(entry);
        Machine.Apply(in entry, results);
    }
}
