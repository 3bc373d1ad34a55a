using System.Collections.Immutable;

namespace Flotilla.Data.Tests.Harness;

/// <summary>What a record should be.</summary>
public sealed record Expected(byte[] Value, Version Version, long ExpiresAtMs);

/// <summary>Compares a view of the store with a sorted dictionary.</summary>
public static class Model
{
    public static ImmutableSortedDictionary<byte[], Expected> Empty { get; } =
        ImmutableSortedDictionary.Create<byte[], Expected>(ByteOrder.Instance);

    /// <summary>Throws unless the view has exactly the model's records.</summary>
    public static void MustEqual(ImmutableSortedDictionary<byte[], Expected> model, IRecordView view, string what)
    {
        if (view.Count != model.Count)
        {
            throw new InvalidOperationException($"{what}: {view.Count} records instead of {model.Count}.");
        }

        var bytes = model.Sum(r => (long)r.Key.Length + r.Value.Value.Length);
        if (view.Bytes != bytes)
        {
            throw new InvalidOperationException($"{what}: {view.Bytes} bytes instead of {bytes}.");
        }

        MustVisit(model, [.. Gather(view, [], []).Select(r => r)], what);
        foreach (var (key, expected) in model)
        {
            MustGet(view, key, expected, what);
        }
    }

    /// <summary>Throws unless a get answers as expected; null for absent.</summary>
    public static void MustGet(IRecordView view, byte[] key, Expected? expected, string what)
    {
        var found = view.TryGet(key, out var record);
        if (found != (expected is not null) || (found && !Same(key, expected!, record)))
        {
            throw new InvalidOperationException($"{what}: get {Convert.ToHexString(key)} {(found ? "answered another record" : "found nothing")}, expected {(expected is null ? "nothing" : "a record")}.");
        }
    }

    /// <summary>Throws unless the visited records are those expected, in order.</summary>
    public static void MustVisit(IEnumerable<KeyValuePair<byte[], Expected>> expected, List<Record> visited, string what)
    {
        var at = 0;
        foreach (var (key, record) in expected)
        {
            if (at >= visited.Count || !Same(key, record, visited[at]))
            {
                throw new InvalidOperationException($"{what}: visited record {at} is not {Convert.ToHexString(key)} as expected.");
            }

            at++;
        }

        if (at != visited.Count)
        {
            throw new InvalidOperationException($"{what}: visited {visited.Count} records instead of {at}.");
        }
    }

    /// <summary>Copies of the records that a visit shows, at most so many.</summary>
    public static List<Record> Gather(IRecordView view, byte[] prefix, byte[] from, int atMost = int.MaxValue)
    {
        var gatherer = new Gatherer(atMost);
        if (prefix.Length == 0)
        {
            view.Visit(from, ref gatherer);
        }
        else
        {
            view.VisitPrefix(prefix, from, ref gatherer);
        }

        return gatherer.Records;
    }

    private static bool Same(byte[] key, Expected expected, in Record record) =>
        record.Key.Span.SequenceEqual(key)
        && record.Value.Span.SequenceEqual(expected.Value)
        && record.Version == expected.Version
        && record.ExpiresAtMs == expected.ExpiresAtMs;

    private readonly struct Gatherer(int atMost) : IRecordVisitor
    {
        public List<Record> Records { get; } = [];

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
        {
            Records.Add(new Record(key.ToArray(), value.ToArray(), version, expiresAtMs));
            return Records.Count < atMost;
        }
    }
}
