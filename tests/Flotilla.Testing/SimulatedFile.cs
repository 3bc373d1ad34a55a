using Flotilla.Raft;

namespace Flotilla.Testing;

/// <summary>
/// The content of one file of a <see cref="SimulatedDisk"/>: what a reader sees, what a sync has made durable, and the
/// writes between the two. It outlives its name, as an inode does.
/// </summary>
internal sealed class SimulatedFile
{
    internal const int SectorBytes = 512;

    private readonly List<(long Offset, byte[] Bytes)> _unsynced = [];
    private byte[] _seen = [];
    private byte[] _durable = [];
    private int _length;
    private int _durableLength;

    internal SimulatedFile()
    {
    }

    internal SimulatedFile(ReadOnlySpan<byte> content) => Replace(content);

    /// <summary>The length that a reader sees.</summary>
    public int Length => _length;

    /// <summary>What a reader sees.</summary>
    public ReadOnlySpan<byte> Content => _seen.AsSpan(0, _length);

    /// <summary>Replaces the content, durably: damage, or a copy.</summary>
    public void Replace(ReadOnlySpan<byte> content)
    {
        _seen = content.ToArray();
        _durable = content.ToArray();
        _length = _durableLength = content.Length;
        _unsynced.Clear();
    }

    public int Read(long offset, Span<byte> into)
    {
        var count = (int)Math.Clamp(_length - offset, 0, into.Length);
        if (count > 0)
        {
            _seen.AsSpan((int)offset, count).CopyTo(into);
        }

        return count;
    }

    public void Write(long offset, ReadOnlySpan<byte> bytes)
    {
        _unsynced.Add((offset, bytes.ToArray()));
        Put(ref _seen, offset, bytes);
        _length = Math.Max(_length, (int)offset + bytes.Length);
    }

    public void Sync()
    {
        foreach (var (offset, bytes) in _unsynced)
        {
            Put(ref _durable, offset, bytes);
        }

        _durableLength = _length;
        _unsynced.Clear();
    }

    /// <summary>
    /// A sync that failed: the bytes are still seen, and no later sync makes them durable (USENIX ATC '20: the kernel marks
    /// the pages clean).
    /// </summary>
    public void FailSync() => _unsynced.Clear();

    /// <summary>
    /// Loses power. Each sector holds its durable content or that of any unsynced write to it since, each on its own; a file
    /// that grew has any length in between, and zeros where nothing arrived.
    /// </summary>
    public void Crash(ref SplitMix64 random)
    {
        var length = _durableLength;
        if (_length > _durableLength)
        {
            length = random.Below(3) switch
            {
                0 => _durableLength,
                1 => _length,
                _ => _durableLength + (int)random.Below(_length - _durableLength + 1),
            };
        }

        // Three tempers, so that "all is lost" and "all but one sector arrived" are as likely as a thorough mix.
        var keep = random.Below(4) switch { 0 => 0.0, 1 => 1.0, 2 => 0.9, _ => 0.5 };
        var sectors = new SortedDictionary<long, List<int>>();
        for (var i = 0; i < _unsynced.Count; i++)
        {
            var (offset, bytes) = _unsynced[i];
            for (var sector = offset / SectorBytes; sector * SectorBytes < offset + bytes.Length; sector++)
            {
                if (!sectors.TryGetValue(sector, out var writes))
                {
                    sectors.Add(sector, writes = []);
                }

                writes.Add(i);
            }
        }

        foreach (var (sector, writes) in sectors)
        {
            var kept = random.Chance(keep) ? writes.Count : (int)random.Below(writes.Count + 1);
            for (var i = 0; i < kept && keep > 0; i++)
            {
                var (offset, bytes) = _unsynced[writes[i]];
                var from = Math.Max(offset, sector * SectorBytes);
                var to = Math.Min(offset + bytes.Length, (sector + 1) * SectorBytes);
                Put(ref _durable, from, bytes.AsSpan((int)(from - offset), (int)(to - from)));
            }
        }

        Put(ref _durable, length, []);
        _durable.AsSpan(Math.Min(length, _durable.Length)).Clear();
        _durableLength = length;
        _unsynced.Clear();
        _seen = _durable.AsSpan(0, length).ToArray();
        _length = length;
    }

    private static void Put(ref byte[] content, long offset, ReadOnlySpan<byte> bytes)
    {
        var end = (int)offset + bytes.Length;
        if (end > content.Length)
        {
            Array.Resize(ref content, Math.Max(end, content.Length * 2));
        }

        bytes.CopyTo(content.AsSpan((int)offset));
    }
}
