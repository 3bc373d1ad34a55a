using System.Runtime.InteropServices;
using Flotilla.Raft;

namespace Flotilla.Shards;

/// <summary>
/// The reads of one replica that are not answered yet. Linearizable ones wait behind a read index, all that arrived
/// before a flush behind one (dissertation, section 6.4); stale ones only for their turn. Every read is answered exactly
/// once, at the latest at its deadline, and a read that got no answer has read nothing: all refusals are definite.
/// </summary>
internal sealed class WaitingReads(ReplicaOptions options)
{
    // So many read indexes are asked for at a time. Reads that come meanwhile share the next one, so that under load the
    // batches grow instead of the number of rounds.
    private const int MaxRequested = 16;

    private const int ReplyOverheadBytes = 128;

    private readonly List<Batch> _requested = []; // in the order of the requests
    private readonly Stack<Batch> _pool = new();
    private Batch _gathered = new();
    private Batch _stale = new();
    private ulong _lastId;
    private bool _putOff;

    /// <summary>How many have no answer.</summary>
    public int Count { get; private set; }

    /// <summary>Not after the earliest deadline of those that wait.</summary>
    public Instant EarliestDeadline { get; private set; } = Instant.Never;

    /// <summary>The next flush has something to do for reads, whatever else happens: serve some that were put off, or ask for an index since there is room again.</summary>
    public bool More => _putOff || (_gathered.Reads.Count > 0 && _requested.Count < MaxRequested);

    /// <summary>Takes in a read.</summary>
    public void Gather(in Read read, bool stale)
    {
        (stale ? _stale : _gathered).Reads.Add(read);
        Count++;
        EarliestDeadline = Instant.Min(EarliestDeadline, read.Deadline);
    }

    /// <summary>Asks for a read index for the linearizable reads that were gathered. It is asked for after they arrived, which makes them linearizable.</summary>
    public void Request(Raft.Raft raft, Instant now)
    {
        if (_gathered.Reads.Count == 0 || _requested.Count >= MaxRequested)
        {
            return;
        }

        var batch = _gathered;
        _gathered = _pool.TryPop(out var pooled) ? pooled : new Batch();
        batch.Id = ++_lastId;
        _requested.Add(batch);
        raft.RequestRead(batch.Id, now);
    }

    /// <summary>Raft confirmed read <paramref name="id"/> at <paramref name="index"/>.</summary>
    public void Ready(ulong id, LogIndex index)
    {
        if (Find(id) is { } batch)
        {
            batch.ReadIndex = index;
        }
    }

    /// <summary>Raft gave no read index: the shell may try again, here or elsewhere.</summary>
    public void Failed(ulong id, ReplicaOutput output)
    {
        if (Find(id) is { } batch)
        {
            foreach (ref readonly var read in batch.Open)
            {
                Refuse(in read, ResultCode.NotLeader, output);
            }

            _requested.Remove(batch);
            Recycle(batch);
        }
    }

    /// <summary>Serves what may be served from the applied state, up to the limit of one flush.</summary>
    public void Serve(StateMachine machine, ReplicaOutput output)
    {
        var budget = options.ReadBytesPerFlush;
        if (_stale.Reads.Count > 0 && Serve(_stale, machine, output, stale: true, ref budget))
        {
            _stale.Clear();
        }

        var kept = 0;
        for (var i = 0; i < _requested.Count; i++)
        {
            var batch = _requested[i];
            if (batch.ReadIndex is { } index && index <= machine.LastApplied && Serve(batch, machine, output, stale: false, ref budget))
            {
                Recycle(batch);
            }
            else
            {
                _requested[kept++] = batch;
            }
        }

        _requested.RemoveRange(kept, _requested.Count - kept);
        _putOff = budget <= 0 && Count > 0;
    }

    /// <summary>Answers the reads whose deadline has come.</summary>
    public void Expire(Instant now, ReplicaOutput output)
    {
        if (now < EarliestDeadline)
        {
            return;
        }

        EarliestDeadline = Instant.Never;
        Expire(_stale, now, output);
        Expire(_gathered, now, output);
        for (var i = _requested.Count - 1; i >= 0; i--)
        {
            var batch = _requested[i];
            Expire(batch, now, output);
            if (batch.Open.IsEmpty)
            {
                _requested.RemoveAt(i);
                Recycle(batch);
            }
        }
    }

    // True when the whole batch is answered.
    private bool Serve(Batch batch, StateMachine machine, ReplicaOutput output, bool stale, ref int budget)
    {
        while (batch.Next < batch.Reads.Count && budget > 0)
        {
            ref readonly var read = ref batch.Open[0];
            if (read.Scan is { } request)
            {
                var page = machine.Scan(in request, stale);
                output.Pages.Add((read.Id, page));
                foreach (var record in page.Records)
                {
                    budget -= record.Key.Length + record.Value.Length + ReplyOverheadBytes;
                }
            }
            else
            {
                var result = machine.Get(read.Key, stale);
                output.Replies.Add((read.Id, result));
                budget -= result.Value.Length;
            }

            budget -= ReplyOverheadBytes;
            batch.Next++;
            Count--;
        }

        return batch.Next == batch.Reads.Count;
    }

    private void Expire(Batch batch, Instant now, ReplicaOutput output)
    {
        var kept = 0;
        var open = batch.Open;
        for (var i = 0; i < open.Length; i++)
        {
            if (open[i].Deadline <= now)
            {
                Refuse(in open[i], ResultCode.NoQuorum, output);
                continue;
            }

            EarliestDeadline = Instant.Min(EarliestDeadline, open[i].Deadline);
            open[kept++] = open[i];
        }

        batch.Reads.RemoveRange(batch.Next + kept, open.Length - kept);
    }

    private void Refuse(in Read read, ResultCode code, ReplicaOutput output)
    {
        Count--;
        if (read.Scan is null)
        {
            output.Replies.Add((read.Id, CommandResult.Of(code)));
        }
        else
        {
            output.Pages.Add((read.Id, new ScanPage(code, [], false)));
        }
    }

    private Batch? Find(ulong id)
    {
        foreach (var batch in _requested)
        {
            if (batch.Id == id)
            {
                return batch;
            }
        }

        return null; // All its reads met their deadlines.
    }

    private void Recycle(Batch batch)
    {
        batch.Clear();
        if (_pool.Count < MaxRequested)
        {
            _pool.Push(batch);
        }
    }

    /// <summary>One read: a scan, or else a get of <paramref name="Key"/>.</summary>
    internal readonly record struct Read(RequestId Id, Instant Deadline, ReadOnlyMemory<byte> Key, ScanRequest? Scan);

    private sealed class Batch
    {
        public ulong Id { get; set; }

        public LogIndex? ReadIndex { get; set; }

        public List<Read> Reads { get; } = [];

        /// <summary>The reads before this one are answered.</summary>
        public int Next { get; set; }

        public Span<Read> Open => CollectionsMarshal.AsSpan(Reads)[Next..];

        public void Clear()
        {
            Id = 0;
            ReadIndex = null;
            Next = 0;
            Reads.Clear();
        }
    }
}
