using System.Collections;
using System.Numerics;

namespace Flotilla.Topology;

/// <summary>The slots of a <see cref="SlotSet"/>, in order: for loops that go over thousands of them and often.</summary>
public readonly record struct SlotSequence : IEnumerable<Slot>
{
    private readonly ulong[] _bits;

    internal SlotSequence(ulong[] bits) => _bits = bits;

    /// <summary>From the lowest on.</summary>
    public Enumerator GetEnumerator() => new(_bits);

    /// <inheritdoc/>
    IEnumerator<Slot> IEnumerable<Slot>.GetEnumerator() => GetEnumerator();

    /// <inheritdoc/>
    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>A place in the sequence. One thread at a time.</summary>
    public struct Enumerator : IEnumerator<Slot>
    {
        private readonly ulong[] _bits;
        private int _word = -1;
        private ulong _rest;

        internal Enumerator(ulong[] bits) => _bits = bits;

        /// <inheritdoc/>
        public Slot Current { get; private set; }

        /// <inheritdoc/>
        readonly object IEnumerator.Current => Current;

        /// <inheritdoc/>
        public bool MoveNext()
        {
            while (_rest == 0)
            {
                if (_word + 1 == _bits.Length)
                {
                    return false;
                }

                _rest = _bits[++_word];
            }

            Current = new Slot((ushort)((_word * 64) + BitOperations.TrailingZeroCount(_rest)));
            _rest &= _rest - 1;
            return true;
        }

        /// <inheritdoc/>
        public void Reset() => (_word, _rest) = (-1, 0);

        /// <inheritdoc/>
        public readonly void Dispose()
        {
            // Nothing is held.
        }
    }
}
