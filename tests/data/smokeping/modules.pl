# Says of every probe that ships with SmokePing, as JSON, which variables it has: all, mandatory ones, defaults.
use strict;
use warnings;
use JSON::PP;

my %modules;
for my $file ( glob("/usr/share/perl5/Smokeping/probes/*.pm") ) {
    my ($name) = $file =~ m{([A-Z]\w+)\.pm$} or next;
    next unless eval { require $file; 1 };    # a library of that probe is not installed
    for my $kind (qw(probevars targetvars)) {
        my $all = "Smokeping::probes::$name"->$kind;
        my $mandatory = delete $all->{_mandatory} || [];
        $modules{$name}{$kind} = {
            names     => [ sort keys %$all ],
            mandatory => [ sort @$mandatory ],
            defaults  => { map { $_ => "$all->{$_}{_default}" } grep { defined $all->{$_}{_default} } keys %$all },
        };
    }
}
print JSON::PP->new->canonical->ascii->encode( \%modules ), "\n";
