namespace Flotilla.Data.Bench;

/// <summary>What both contenders can do.</summary>
internal interface IStore
{
    long Count { get; }

    void Put(byte[] key, ReadOnlySpan<byte> value, Version version);

    bool TryGet(byte[] key, out Record record);

    bool Remove(byte[] key);

    /// <summary>Adds up something of every record.</summary>
    long Scan();
}

internal sealed class TreeStore : IStore
{
    public BTree Tree { get; } = new();

    public long Count => Tree.Count;

    public void Put(byte[] key, ReadOnlySpan<byte> value, Version version) => Tree.Put(key, value, version, 0);

    public bool TryGet(byte[] key, out Record record) => Tree.TryGet(key, out record);

    public bool Remove(byte[] key) => Tree.Remove(key);

    public long Scan()
    {
        var sum = new Sum();
        Tree.Visit([], ref sum);
        return sum.Total;
    }

    private struct Sum : IRecordVisitor
    {
        public long Total { get; private set; }

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
        {
            Total += value.Length + key[0];
            return true;
        }
    }
}

internal sealed class DictionaryStore : IStore
{
    private readonly SortedDictionary<byte[], Record> _records = new(Comparer<byte[]>.Create((x, y) => x.AsSpan().SequenceCompareTo(y)));

    public long Count => _records.Count;

    public void Put(byte[] key, ReadOnlySpan<byte> value, Version version)
    {
        // As with the tree, the caller keeps its buffers.
        var stored = key.ToArray();
        _records[stored] = new Record(stored, value.ToArray(), version, 0);
    }

    public bool TryGet(byte[] key, out Record record) => _records.TryGetValue(key, out record);

    public bool Remove(byte[] key) => _records.Remove(key);

    public long Scan()
    {
        long total = 0;
        foreach (var (key, record) in _records)
        {
            total += record.Value.Length + key[0];
        }

        return total;
    }
}
