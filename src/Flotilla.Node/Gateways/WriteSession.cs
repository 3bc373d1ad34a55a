using System.Numerics;
using Flotilla.Shards;
using Flotilla.Topology;

namespace Flotilla.Node.Gateways;

/// <summary>
/// A session of this process at one shard: hands out sequences, and knows below which all are answered (the mark).
/// Thread-safe.
/// </summary>
/// <remarks>
/// Why no write meets the shard's window: the shard has taken in the mark of a write before it looks at the sequence, and a
/// sequence is handed out only within <see cref="Window"/> of the mark that goes with it.
/// </remarks>
/// <param name="shard">The shard that opened it.</param>
/// <param name="id">Its id.</param>
/// <param name="first">The first sequence.</param>
internal sealed class WriteSession(ShardId shard, SessionId id, ulong first)
{
    /// <summary>How many sequences may lie between the first one without an answer and the last one handed out: the default of <see cref="SessionTerms.Window"/>.</summary>
    public const int Window = 4096;

    private const int WordBits = 64;

    private readonly Lock _gate = new();
    private readonly ulong[] _answered = new ulong[Window / WordBits]; // One bit for each sequence from the mark on.
    private ulong _next = first;
    private ulong _mark = first;
    private bool _forgotten;
    private int _open;
    private int _leaving;

    /// <summary>The shard.</summary>
    public ShardId Shard { get; } = shard;

    /// <summary>The shard's name for it.</summary>
    public SessionId Id { get; } = id;

    /// <summary>Half of its window or more is free.</summary>
    public bool HasRoom
    {
        get
        {
            lock (_gate)
            {
                return !_forgotten && _next - _mark < Window / 2;
            }
        }
    }

    /// <summary>
    /// Where a session's sequences begin: anywhere within a wide range, so that they take 5 bytes. Should a cluster be wiped
    /// and set up anew under a router that goes on, two processes may hold the same id; their sequences lie far apart then,
    /// and each finds the session expired rather than the other's results.
    /// </summary>
    public static ulong DrawFirst() => (ulong)Random.Shared.NextInt64(1L << 34, 1L << 35);

    /// <summary>Hands out the next sequence, unless the window is full or the shard forgot the session. <paramref name="halfFull"/>: another session will be needed soon if this goes on.</summary>
    public Once.InSession? TryBegin(out bool halfFull)
    {
        lock (_gate)
        {
            var used = _next - _mark;
            halfFull = used >= Window / 2;
            if (_forgotten || used >= Window)
            {
                return null;
            }

            _open++;
            return new Once.InSession(Id, _next++, _mark);
        }
    }

    /// <summary>The write of this sequence has its answer, and nobody will ask for it again. Once for each sequence.</summary>
    public void End(ulong sequence)
    {
        lock (_gate)
        {
            _open--;
            _answered[WordOf(sequence)] |= 1UL << (int)(sequence % WordBits);
            while (_mark < _next)
            {
                // As many as the word holds without a gap from the mark on.
                ref var word = ref _answered[WordOf(_mark)];
                var bit = (int)(_mark % WordBits);
                var run = Math.Min(BitOperations.TrailingZeroCount(~(word >> bit)), WordBits - bit);
                if (run == 0)
                {
                    return;
                }

                word &= ~((run == WordBits ? ulong.MaxValue : (1UL << run) - 1) << bit);
                _mark += (ulong)run;
            }
        }
    }

    /// <summary>The shard does not know it any more: it hands out nothing from now on. True the first time.</summary>
    public bool Forget()
    {
        lock (_gate)
        {
            return !_forgotten && (_forgotten = true);
        }
    }

    /// <summary>A write needs the session only to be closed (1), or not even that any more (-1).</summary>
    public void WaitForClose(int more)
    {
        lock (_gate)
        {
            _leaving += more;
        }
    }

    /// <summary>Nothing is handed out any more, and all writes without an answer wait for nothing but that it is closed.</summary>
    public bool MayClose
    {
        get
        {
            lock (_gate)
            {
                return _forgotten && _open <= _leaving;
            }
        }
    }

    private static int WordOf(ulong sequence) => (int)(sequence / WordBits % (Window / WordBits));
}
