using Flotilla.Data;
using Record = Flotilla.Data.Record;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Tests.Harness;

/// <summary>The plainest engine that keeps the contract: a model to hold the copy-on-write tree against.</summary>
internal sealed class SortedStore : IRecordStore
{
    private readonly SortedDictionary<byte[], Record> _records = new(Comparer<byte[]>.Create((a, b) => a.AsSpan().SequenceCompareTo(b)));

    public long Count => _records.Count;

    public long Bytes => _records.Values.Sum(r => (long)r.Key.Length + r.Value.Length);

    public bool TryGet(ReadOnlySpan<byte> key, out Record record) => _records.TryGetValue(key.ToArray(), out record);

    public void Put(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
    {
        var copy = key.ToArray();
        _records[copy] = new Record(copy, value.ToArray(), version, expiresAtMs);
    }

    public bool Remove(ReadOnlySpan<byte> key) => _records.Remove(key.ToArray());

    public IRecordView Snapshot()
    {
        var copy = new SortedStore();
        foreach (var (key, record) in _records)
        {
            copy._records[key] = record;
        }

        return copy;
    }

    public void Visit<TVisitor>(ReadOnlySpan<byte> from, ref TVisitor visitor)
        where TVisitor : struct, IRecordVisitor
    {
        foreach (var record in _records.Values)
        {
            if (record.Key.Span.SequenceCompareTo(from) >= 0
                && !visitor.Visit(record.Key.Span, record.Value.Span, record.Version, record.ExpiresAtMs))
            {
                return;
            }
        }
    }

    public void VisitPrefix<TVisitor>(ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> from, ref TVisitor visitor)
        where TVisitor : struct, IRecordVisitor
    {
        foreach (var record in _records.Values)
        {
            if (record.Key.Span.SequenceCompareTo(from) >= 0 && record.Key.Span.StartsWith(prefix)
                && !visitor.Visit(record.Key.Span, record.Value.Span, record.Version, record.ExpiresAtMs))
            {
                return;
            }
        }
    }

    public void VisitChanges<TVisitor>(IRecordView older, ReadOnlySpan<byte> from, ref TVisitor visitor)
        where TVisitor : struct, IChangeVisitor
    {
        var before = ((SortedStore)older)._records;
        foreach (var key in before.Keys.Union(_records.Keys, EqualityComparer<byte[]>.Create((a, b) => a.AsSpan().SequenceEqual(b), k => k.Length)).Order(_records.Comparer).ToArray())
        {
            Record? old = before.TryGetValue(key, out var o) ? o : null;
            Record? now = _records.TryGetValue(key, out var n) ? n : null;
            var isSame = old is { } a && now is { } b && a.Version == b.Version && a.ExpiresAtMs == b.ExpiresAtMs && a.Value.Span.SequenceEqual(b.Value.Span);
            if (key.AsSpan().SequenceCompareTo(from) >= 0 && !isSame && !visitor.Visit(in old, in now))
            {
                return;
            }
        }
    }
}
