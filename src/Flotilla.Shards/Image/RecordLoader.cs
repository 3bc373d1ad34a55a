using Flotilla.Data;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Image;

/// <summary>One record of an image; the spans are valid during the call.</summary>
/// <param name="key">The key.</param>
/// <param name="value">The value.</param>
/// <param name="version">Its version.</param>
/// <param name="expiresAtMs">When it expires, in milliseconds of log time since the Unix epoch; 0 for never.</param>
public delegate void ImageRecordHandler(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs);

/// <summary>
/// Takes records in key order into an engine, and notes which of them expire. Without an engine given it builds a tree. With
/// <paramref name="passes"/> it keeps nothing but shows each to <paramref name="handler"/>.
/// </summary>
internal sealed class RecordLoader(IRecordStore? store, bool passes = false, ImageRecordHandler? handler = null)
{
    private readonly BTreeLoader? _tree = store is null && !passes ? new BTreeLoader() : null;
    private byte[] _last = new byte[64];
    private int _lastBytes; // 0: nothing yet, since no key is empty

    /// <summary>How many have come.</summary>
    public long Count { get; private set; }

    /// <summary>When they expire.</summary>
    public ExpiryIndex Due { get; } = new();

    /// <summary>True for a key that may come next.</summary>
    public bool IsNext(ReadOnlySpan<byte> key) => key.SequenceCompareTo(_last.AsSpan(0, _lastBytes)) > 0;

    /// <summary>Adds a record whose key may come next.</summary>
    public void Add(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
    {
        if (passes)
        {
            handler?.Invoke(key, value, version, expiresAtMs);
        }
        else if (_tree is not null)
        {
            _tree.Add(key, value, version, expiresAtMs);
        }
        else
        {
            store!.Put(key, value, version, expiresAtMs);
        }

        if (!passes)
        {
            Due.Change(key, 0, expiresAtMs);
        }

        if (_last.Length < key.Length)
        {
            _last = new byte[key.Length * 2];
        }

        key.CopyTo(_last);
        _lastBytes = key.Length;
        Count++;
    }

    /// <summary>The engine with all of them. Ends the loader.</summary>
    public IRecordStore Finish() => _tree?.Finish() ?? store!;
}
