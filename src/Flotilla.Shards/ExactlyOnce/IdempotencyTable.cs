using System.Globalization;
using System.Text;
using Flotilla.Topology;

namespace Flotilla.Shards.ExactlyOnce;

/// <summary>
/// The idempotency keys of a shard, each with the digest of its command and the recorded result, until its life in log
/// time is over. A part of the state machine. Made for many keys of short lives: <see cref="CountedBytes"/> each whatever
/// its length, added at the end of a queue and taken from its front; a snapshot takes one reference for every 512 of them.
/// </summary>
/// <remarks>
/// <para>A key is looked up together with the slot of the command's own key. So it means the same before and after its slot
/// has moved to another shard, and keys of two shards never meet in one.</para>
/// <para>Neither keys nor commands are kept, but digests (<see cref="Digest128"/>): 128 bits of slot and key, 64 bits of the
/// command. By chance a new key meets one of a million others once in 2^108, and even then it is taken for a key used for
/// another command, refused and not executed, except once in 2^64 of these cases. Who makes two keys collide on purpose must
/// write both to one slot, and gains what one key used twice gives.</para>
/// <para>Why a write with an end is executed once, however late its attempts come and however the log time leaps: it is executed
/// only before its end, and what it came to is kept up to that end. All attempts must name the same one.</para>
/// <para>Why a full table does not stay full: as for sessions, the entry that asks for room moves the log time first; and
/// each entry may remove <see cref="MaxExpiredPerEntry"/> keys more than it can add.</para>
/// </remarks>
internal sealed class IdempotencyTable
{
    /// <summary>One entry removes at most so many keys whose life is over, and one for each of its commands; the others count as gone anyhow.</summary>
    public const int MaxExpiredPerEntry = 1024;

    /// <summary>What a key counts for, about what it takes at most: 48 bytes, its link, its share of buckets and of room not used yet. The same for ever and on all nodes: refusals depend on it.</summary>
    public const int CountedBytes = 64;

    /// <summary>What an answer counts for besides that does not fit, as that of an increment.</summary>
    public const int CountedWideBytes = 48;

    private readonly KeyPages _pages = new();
    private readonly KeyIndex _index;
    private readonly List<KeyLane> _lanes = []; // by number, none empty
    private long _wideCount;

    /// <summary>A table without keys.</summary>
    public IdempotencyTable() => _index = new KeyIndex(_pages);

    /// <summary>How many keys are kept, those included that were over and came again before they were removed.</summary>
    public long Count { get; private set; }

    /// <summary>True if the write under this key is to be executed and then recorded by <see cref="Record"/>; false with the recorded result or a refusal.</summary>
    public bool Admits(Once.ByKey once, in Command command, Slot slot, long logTimeMs, out (UInt128 Name, ulong Digest) identity, out CommandResult answer)
    {
        identity = (Digest128.OfKey(slot, once.Key.Span), (ulong)Digest128.Of(in command));
        var place = _index.Find(identity.Name);
        if (place >= 0 && _pages[place][KeyPages.OffsetOf(place)] is var there && there.DueMs > logTimeMs)
        {
            answer = there.Digest == identity.Digest ? AnswerOf(in there) : CommandResult.Of(ResultCode.KeyReused);
            return false;
        }

        if (once.UntilMs != 0 && (logTimeMs >= once.UntilMs || once.UntilMs - logTimeMs > once.Terms.LifeMs))
        {
            answer = new CommandResult(ResultCode.KeyExpired, new Data.Version(0, 0, (ulong)logTimeMs, 0), default);
            return false;
        }

        var isFull = ((Count + 1) * CountedBytes) + ((_wideCount + 1) * CountedWideBytes) > once.Terms.MaxBytes;
        answer = isFull ? CommandResult.Of(ResultCode.Overloaded) : default;
        return !isFull;
    }

    /// <summary>Records the result of a write that was just admitted and executed.</summary>
    public void Record(Once.ByKey once, (UInt128 Name, ulong Digest) identity, Slot slot, in CommandResult result, long logTimeMs)
    {
        var dueMs = once.UntilMs != 0 ? once.UntilMs : once.Terms.LifeMs > long.MaxValue - logTimeMs ? long.MaxValue : logTimeMs + once.Terms.LifeMs;
        long? number = null;
        if (!result.Value.IsEmpty)
        {
            number = StateMachine.TryParseInteger(result.Value.Span, out var parsed) ? parsed : throw new InvalidOperationException("An answer with a value that is no number is not one of a write.");
        }

        var record = new KeyRecord(identity.Name, identity.Digest, slot, result.Code, result.Version, number, dueMs);
        if (!record.IsValid)
        {
            throw new InvalidOperationException($"An outcome {result.Code} is not one of execution.");
        }

        Add(KeyLane.For(dueMs - logTimeMs), in record);
    }

    /// <summary>Adds a key to the end of a lane. Of two with one name the one that falls due later counts: it came when the other was over.</summary>
    public void Add(int lane, in KeyRecord key)
    {
        var place = LaneOf(lane).Add(in key, _pages);
        Count++;
        _wideCount += KeyPage.IsWide(in key) ? 1 : 0;
        var old = _index.Find(key.Name);
        if (old >= 0 && _pages[old].DueOf(KeyPages.OffsetOf(old)) > key.DueMs)
        {
            return;
        }

        if (old >= 0)
        {
            _index.Remove(key.Name, old);
        }

        _index.Add(key.Name, place);
    }

    /// <summary>Adds a key that came with its slot, unless it is known; it is never refused.</summary>
    public void Learn(int lane, in KeyRecord key)
    {
        var place = _index.Find(key.Name);
        if (place < 0 || _pages[place].DueOf(KeyPages.OffsetOf(place)) < key.DueMs)
        {
            Add(lane, in key);
        }
    }

    /// <summary>Removes keys whose life is over, before an entry with so many commands.</summary>
    public void RemoveExpired(long logTimeMs, int commands)
    {
        var left = MaxExpiredPerEntry + commands;
        for (var i = 0; i < _lanes.Count && left > 0;)
        {
            var lane = _lanes[i];
            for (; left > 0 && !lane.IsEmpty && lane.DueMs <= logTimeMs; left--)
            {
                var key = lane.Head![lane.First];
                _index.Remove(key.Name, KeyPages.PlaceOf(lane.Head.Id, lane.First));
                lane.RemoveFirst(_pages);
                Count--;
                _wideCount -= KeyPage.IsWide(in key) ? 1 : 0;
            }

            if (lane.IsEmpty)
            {
                _lanes.RemoveAt(i);
            }
            else
            {
                i++;
            }
        }
    }

    /// <summary>The keys as they are now, in their order. One reference for each page is copied.</summary>
    public KeyImage Snapshot()
    {
        var runs = new List<KeyImage.Run>();
        foreach (var lane in _lanes)
        {
            var first = lane.First;
            for (var page = lane.Head; page is not null; page = page.After)
            {
                runs.Add(new KeyImage.Run(lane.Number, page, first, page.Count));
                first = 0;
            }
        }

        return new KeyImage([.. runs], Count);
    }

    /// <summary>Adds all that is known to a hash.</summary>
    public void AddTo(ref StableHash hash)
    {
        hash.Add((ulong)Count);
        foreach (var run in Snapshot().Runs)
        {
            for (var place = run.From; place < run.To; place++)
            {
                hash.Add((ulong)run.Lane);
                run.Page[place].AddTo(ref hash);
            }
        }
    }

    private KeyLane LaneOf(int number)
    {
        var at = 0;
        while (at < _lanes.Count && _lanes[at].Number < number)
        {
            at++;
        }

        if (at == _lanes.Count || _lanes[at].Number != number)
        {
            _lanes.Insert(at, new KeyLane(number));
        }

        return _lanes[at];
    }

    private static CommandResult AnswerOf(in KeyRecord there) =>
        new(there.Code, there.Version, there.Number is { } number ? Encoding.ASCII.GetBytes(number.ToString(CultureInfo.InvariantCulture)) : default(ReadOnlyMemory<byte>));
}

/// <summary>The keys of a table at one moment, in their order: lane by lane, as they came. Immutable; any thread may read it.</summary>
internal sealed class KeyImage(KeyImage.Run[] runs, long count)
{
    /// <summary>Where they are.</summary>
    public ReadOnlySpan<Run> Runs => runs;

    /// <summary>How many there are.</summary>
    public long Count { get; } = count;

    /// <summary>Those that were added to the table after an older image of it was taken. What is not here any more was over.</summary>
    public IEnumerable<Run> Since(KeyImage? older)
    {
        var seen = new Dictionary<KeyPage, int>();
        foreach (var run in older is null ? [] : older.Runs)
        {
            seen[run.Page] = run.To;
        }

        foreach (var run in runs)
        {
            var from = Math.Max(run.From, seen.GetValueOrDefault(run.Page));
            if (from < run.To)
            {
                yield return run with { From = from };
            }
        }
    }

    /// <summary>Keys of one lane and page.</summary>
    public readonly record struct Run(int Lane, KeyPage Page, int From, int To);
}
