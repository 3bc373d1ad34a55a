using Flotilla.Data;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards;

/// <summary>Keeps copies of the keys that it is shown, up to a limit.</summary>
internal struct KeysOf(int limit = int.MaxValue) : IRecordVisitor
{
    /// <summary>None.</summary>
    public KeysOf()
        : this(int.MaxValue)
    {
    }

    /// <summary>The keys, in order.</summary>
    public List<byte[]> Keys { get; } = [];

    /// <inheritdoc/>
    public readonly bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
    {
        Keys.Add(key.ToArray());
        return Keys.Count < limit;
    }
}
