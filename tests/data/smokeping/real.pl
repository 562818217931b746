# Reads names of files, one a line, and answers each with a line of JSON: what SmokePing's own parser says of it.
# Byte strings become characters of the same number, so the answer is ASCII.
use strict;
use warnings;
use JSON::PP;
use Smokeping;

my $json = JSON::PP->new->canonical->ascii;
$| = 1;
while ( my $file = <STDIN> ) {
    chomp $file;
    my $tree = eval {
        local $SIG{__WARN__} = sub { };
        Smokeping::get_config( Smokeping::get_parser(), $file );
    };
    my $error = $@;
    delete $tree->{_order_count} if $tree;    # left over by the parser
    print $json->encode( $tree ? { tree => plain($tree) } : { error => "$error" } ), "\n";
}

sub plain {
    my $value = shift;
    return "$value" unless ref $value;
    return [ map { plain($_) } @$value ] if ref $value eq 'ARRAY';
    return { map { $_ => plain( $value->{$_} ) } keys %$value };
}
